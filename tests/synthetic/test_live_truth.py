"""Rolling recall and precision."""

from __future__ import annotations

import pytest

from photofinish.detections import empty_detections
from photofinish.synthetic.live_truth import LiveTruth
from tests.builders import build_detections

TWO = build_detections([(0, 0, 10, 10, 1.0, 0), (20, 20, 40, 40, 1.0, 1)])
ONE_RIGHT_ONE_WRONG = build_detections([(0, 0, 10, 9, 0.9, 0), (20, 20, 40, 40, 0.8, 2)])


def test_nothing_seen_yet_is_neither_good_nor_bad() -> None:
    live = LiveTruth()
    assert (live.recall, live.precision, live.frames) == (None, None, 0)
    live.add(empty_detections(), empty_detections(), 0)
    assert (live.recall, live.precision, live.frames) == (None, None, 1)


def test_class_and_place_must_agree() -> None:
    live = LiveTruth()
    live.add(ONE_RIGHT_ONE_WRONG, TWO, 0)
    assert (live.recall, live.precision) == (0.5, 0.5)
    live.add(empty_detections(), TWO, 1)
    assert (live.recall, live.precision) == (0.25, 0.5)


def test_only_the_window_counts() -> None:
    live = LiveTruth(window_s=2.0)
    live.add(empty_detections(), TWO, 0)
    live.add(TWO, TWO, 1_000_000_000)
    assert live.recall == 0.5
    live.add(TWO, TWO, 2_000_000_000)
    assert (live.recall, live.precision, live.frames) == (1.0, 1.0, 2)


@pytest.mark.parametrize("wrong", [{"window_s": 0.0}, {"iou_threshold": 0.0}, {"iou_threshold": 1.5}])
def test_wrong_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="window_s must be above 0"):
        LiveTruth(**wrong)
