from __future__ import annotations

import numpy as np
import pytest

from photofinish.errors import ExportError
from photofinish.export.graph.parity import check_raw, check_rows, check_scores, parity_from_rows
from photofinish.export.publishing.summary import parity_text


def _rows(*rows: tuple[float, float, float, float, float, int]) -> np.ndarray:
    table = np.zeros((1, 300, 6), np.float32)
    table[0, : len(rows)] = rows
    return table


REFERENCE = _rows((0, 0, 100, 100, 0.9, 1), (200, 200, 300, 300, 0.5, 2), (0, 0, 10, 10, 0.1, 0))


def test_equal_rows_are_equal() -> None:
    parity = parity_from_rows(REFERENCE, REFERENCE)
    assert (parity.boxes, parity.min_iou, parity.max_confidence_difference) == (2, 1.0, 0.0)


def test_the_worst_box_counts() -> None:
    found = _rows((0, 0, 100, 100, 0.89, 1), (200, 200, 300, 280, 0.5, 2))
    parity = parity_from_rows(found, REFERENCE)
    assert parity.min_iou == pytest.approx(0.8)
    assert parity.max_confidence_difference == pytest.approx(0.1, abs=1e-6), "the third row's confidence is gone"


def test_rows_may_swap_places() -> None:
    found = REFERENCE[:, [1, 0, *range(2, 300)]]
    parity = parity_from_rows(found, REFERENCE)
    assert parity.min_iou == 1.0


def test_a_faint_box_beside_the_strong_one_is_not_its_partner() -> None:
    """As INT8 gives them: the faint one overlaps more, and its confidence says nothing of what is shown."""
    found = _rows((0, 0, 100, 98, 0.88, 1), (200, 200, 300, 300, 0.5, 2), (0, 0, 100, 100, 0.05, 1))
    parity = parity_from_rows(found, REFERENCE)
    assert parity.min_iou == pytest.approx(0.98)
    assert parity.max_confidence_difference == pytest.approx(0.05, abs=1e-6), "the third row's confidence"


def test_a_lost_box_has_no_overlap_and_its_whole_confidence() -> None:
    parity = parity_from_rows(_rows((200, 200, 300, 300, 0.9, 2), (0, 0, 100, 100, 0.5, 2)), REFERENCE)
    assert parity.min_iou == 0.0
    assert parity.max_confidence_difference == pytest.approx(0.9)
    assert parity_from_rows(np.zeros_like(REFERENCE), REFERENCE).min_iou == 0.0


@pytest.mark.parametrize(
    "found",
    [
        _rows((0, 0, 100, 90, 0.9, 1), (200, 200, 300, 300, 0.5, 2), (0, 0, 10, 10, 0.1, 0)),
        _rows((0, 0, 100, 100, 0.9, 2), (200, 200, 300, 300, 0.5, 2), (0, 0, 10, 10, 0.1, 0)),
        _rows((0, 0, 100, 100, 0.93, 1), (200, 200, 300, 300, 0.5, 2), (0, 0, 10, 10, 0.1, 0)),
    ],
    ids=["box", "class", "confidence"],
)
def test_a_mismatch_is_an_error_with_figures(found: np.ndarray) -> None:
    with pytest.raises(ExportError, match=r"toy disagrees with its source .* was not published"):
        check_rows("toy", found, REFERENCE, "fp32")


def test_int8_gets_figures_and_no_verdict() -> None:
    found = _rows((0, 0, 100, 50, 0.9, 1))
    assert check_rows("toy", found, REFERENCE, "int8")["min_iou"] == 0.0


def test_nan_is_a_mismatch() -> None:
    broken = np.full((1, 7, 10), np.nan, np.float32)
    with pytest.raises(ExportError, match="holds NaN or infinity"):
        check_raw("toy", broken, np.zeros((1, 7, 10), np.float32))
    with pytest.raises(ExportError, match="holds NaN or infinity"):
        check_rows("toy", np.full_like(REFERENCE, np.nan), REFERENCE, "fp16")


def test_scores_and_shapes() -> None:
    scores = np.array([[0.2, 0.8]], np.float32)
    assert check_scores("toy", scores, scores, "fp32") == {"pictures": 1, "max_score_difference": 0.0}
    with pytest.raises(ExportError, match=r"returns shape \(1, 2\), its source \(1, 3\)"):
        check_raw("toy", scores, np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(
    ("parity", "text"),
    [
        (
            {"boxes": 8, "min_iou": 0.9991, "max_confidence_difference": 0.00026},
            "8 boxes: IoU ≥ 0.999, confidence ± 0.00026",
        ),
        (
            {"boxes": 43, "min_iou": 0.0, "max_confidence_difference": 0.46},
            "43 boxes: not all found, confidence ± 0.46",
        ),
        ({"pictures": 2, "max_raw_difference": 0.0}, "largest difference 0"),
        ({}, "not measured"),
    ],
)
def test_parity_in_words(parity: dict[str, float], text: str) -> None:
    assert parity_text(parity) == text
