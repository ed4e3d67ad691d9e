"""mAP and agreement on hand-made boxes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from photofinish.detections import empty_detections
from photofinish.errors import ConfigError
from photofinish.frame import Frame
from photofinish.perf.accuracy.data import SyntheticDataset, in_dataset_classes, map_classes
from photofinish.perf.accuracy.figures import figures_from_baseline, figures_from_truth
from photofinish.synthetic import CLASS_NAMES, SyntheticCamera
from tests.builders import build_detections

NAMES = ("car", "bus")
SIZE = (640, 480)
CAR = (100.0, 100.0, 200.0, 200.0, 1.0, 0)
BUS = (300.0, 100.0, 500.0, 300.0, 1.0, 1)


def scored(box: tuple[float, ...], confidence: float, label: int | None = None) -> tuple[float, ...]:
    return (*box[:4], confidence, box[5] if label is None else label)


def test_perfect_detections_have_map_one() -> None:
    truth = [build_detections([CAR, BUS]), build_detections([CAR])]
    figures = figures_from_truth(truth, truth, [SIZE, SIZE], NAMES)
    assert figures.map50_95 == pytest.approx(1.0)
    assert figures.class_map50_95 == pytest.approx({"car": 1.0, "bus": 1.0})


def test_map_of_a_known_case() -> None:
    """The car's box overlaps by 0.8: right at the thresholds 0.50 to 0.80, 7 of 10. The bus is not found."""
    shorter = (100.0, 100.0, 200.0, 180.0, 0.9, 0)
    figures = figures_from_truth([build_detections([shorter])], [build_detections([CAR, BUS])], [SIZE], NAMES)
    assert figures.class_map50_95["car"] == pytest.approx(0.7)
    assert figures.class_map50_95["bus"] == 0.0
    assert figures.map50_95 == pytest.approx(0.35)
    assert figures.map50 == pytest.approx(0.5)


def test_a_stronger_false_alarm_halves_the_precision() -> None:
    found = [build_detections([scored((0, 0, 50, 50, 1, 0), 0.95), scored(CAR, 0.9)])]
    figures = figures_from_truth(found, [build_detections([CAR])], [SIZE], NAMES)
    assert figures.map50 == pytest.approx(0.5)
    assert figures.class_map50_95 == pytest.approx({"car": 0.5})


def test_empty_frames_and_frames_without_objects() -> None:
    truth = [build_detections([CAR]), empty_detections()]
    assert figures_from_truth([empty_detections()] * 2, truth, [SIZE] * 2, NAMES).map50_95 == 0.0
    alone = figures_from_truth([build_detections([scored(CAR, 0.9)]), empty_detections()], truth, [SIZE] * 2, NAMES)
    assert alone.map50_95 == pytest.approx(1.0)


def test_up_to_300_boxes_count() -> None:
    noise = [scored((float(index), 300.0, index + 2.0, 302.0, 1, 0), 0.9) for index in range(150)]
    figures = figures_from_truth(
        [build_detections([*noise, scored(CAR, 0.1)])], [build_detections([CAR])], [SIZE], NAMES
    )
    assert figures.map50 > 0


def test_agreement_with_itself_is_whole() -> None:
    boxes = [build_detections([CAR, BUS])]
    figures = figures_from_baseline(boxes, boxes)
    assert (figures.boxes, figures.matched_share, figures.worst_box_error_px) == (2, 1.0, 0.0)


def test_agreement_counts_what_differs() -> None:
    baseline = [build_detections([scored(CAR, 0.9), scored(BUS, 0.8)])]
    moved = (103.0, 100.0, 200.0, 198.0, 0.7, 0)
    figures = figures_from_baseline([build_detections([moved, scored(BUS, 0.8, label=0)])], baseline)
    assert figures.matched_share == pytest.approx(0.5)
    assert figures.mean_box_error_px == pytest.approx(3.0)
    assert figures.worst_confidence_error == pytest.approx(0.2)
    assert figures.class_lost == {1: 1}


def test_a_box_at_the_limit_is_not_lost() -> None:
    figures = figures_from_baseline([build_detections([scored(CAR, 0.24)])], [build_detections([scored(CAR, 0.26)])])
    assert (figures.matched_share, figures.found_boxes) == (1.0, 0)


def test_nothing_shown_decides_nothing() -> None:
    assert figures_from_baseline([empty_detections()], [empty_detections()]).matched_share is None


def test_classes_are_matched_by_name() -> None:
    dataset = SyntheticDataset(1)
    model_names = ("person", *reversed(CLASS_NAMES))
    mapping = map_classes(dataset, model_names, weights="own.pt")
    found = in_dataset_classes(build_detections([scored(CAR, 0.9, label=0), scored(CAR, 0.8, label=1)]), mapping)
    np.testing.assert_array_equal(found.class_id, [len(CLASS_NAMES) - 1])


def test_data_with_classes_the_weights_lack_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"classes that own\.pt does not know: truck.*the weights know 2: car, bus"
    ) as caught:
        map_classes(SyntheticDataset(1), ("car", "bus"), weights="own.pt")
    assert "\n" not in str(caught.value)


def test_synthetic_frames_repeat_with_their_truth() -> None:
    dataset = SyntheticDataset(7)
    first, second = list(dataset.frames()), list(dataset.frames())
    assert [frame.index for frame in first] == list(range(7))
    for a, b in zip(first, second, strict=True):
        assert a.truth is not None
        np.testing.assert_array_equal(a.image_hwc_bgr, b.image_hwc_bgr)
    assert all(frame.truth is None for frame in SyntheticDataset(1, labelled=False).frames())
    assert dataset.sha256 != SyntheticDataset(8).sha256


def test_synthetic_frames_are_rendered_once_also_when_a_reader_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    render = SyntheticCamera.frame

    def counted(camera: SyntheticCamera, index: int) -> Frame:
        rendered.append(index)
        return render(camera, index)

    monkeypatch.setattr(SyntheticCamera, "frame", counted)
    monkeypatch.setattr("photofinish.perf.accuracy.data.MAX_KEPT", 6)
    dataset = SyntheticDataset(8)
    rendered.clear()  # the picture in the hash
    early = list(itertools.islice(dataset.frames(), 3))
    whole = list(dataset.frames())
    again = list(dataset.frames())
    assert len(rendered) == 8 + 2, "the 8 frames once, and again the 2 that are not kept"
    assert [frame.index for frame in again] == list(range(8))
    for a, b in zip([*early, *whole], [*again[:3], *again], strict=True):
        np.testing.assert_array_equal(a.image_hwc_bgr, b.image_hwc_bgr)
        assert a.truth is not None
        assert b.truth is not None
        np.testing.assert_array_equal(a.truth.boxes_xyxy, b.truth.boxes_xyxy)
