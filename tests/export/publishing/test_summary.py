from __future__ import annotations

import pytest

from photofinish.errors import ConfigError
from photofinish.export.publishing.summary import gpus_from_text, parity_text


@pytest.mark.parametrize(("text", "gpus"), [("all", ()), ("0", (0,)), ("0,1", (0, 1)), ("1, 0,1", (1, 0))])
def test_gpus_are_all_or_a_list(text: str, gpus: tuple[int, ...]) -> None:
    assert gpus_from_text(text) == gpus


@pytest.mark.parametrize("text", ["", "first", "0,", "-1", "0,-1", "1_0", "1.0", "²"])
def test_what_is_no_list_of_gpus_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--gpus must be all or numbers such as 0,1, got"):
        gpus_from_text(text)


@pytest.mark.parametrize(
    ("parity", "text"),
    [
        (
            {"boxes": 9, "min_iou": 0.9876, "max_confidence_difference": 0.00123},
            "9 boxes: IoU ≥ 0.988, confidence ± 0.0012",
        ),
        (
            {"boxes": 9, "min_iou": 0.0, "max_confidence_difference": 0.5},
            "9 boxes: not all found, confidence ± 0.5",
        ),
        ({"max_raw_difference": 0.0001234}, "largest difference 0.00012"),
        ({"max_score_difference": 0.02}, "largest difference 0.02"),
        ({}, "not measured"),
    ],
)
def test_parity_is_one_cell(parity: dict[str, float], text: str) -> None:
    assert parity_text(parity) == text
