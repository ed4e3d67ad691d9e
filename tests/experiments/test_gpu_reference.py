"""The judge of answers under load: another picture's rows are wrong, a precision's own error is not."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.gpu_reference import Checker
from tests.builders import build_card


def rows(seed: int, count: int = 40) -> np.ndarray:
    """One picture's rows: boxes anywhere, best first, padded."""
    generator = np.random.default_rng(seed)
    found = np.zeros((300, 6), np.float32)
    corners = generator.uniform(0, 500, (count, 2))
    found[:count, :2] = corners
    found[:count, 2:4] = corners + generator.uniform(40, 120, (count, 2))
    found[:count, 4] = np.sort(generator.uniform(0.4, 0.95, count))[::-1]
    return found


def checker(precision: str) -> Checker:
    card = build_card(precision=precision, contract="frames", head="rows", nms="none", input_wh=(640, 640))
    return Checker(card, np.stack([rows(0), rows(1)]))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_right_rows_pass_and_anothers_do_not(precision: str) -> None:
    judge = checker(precision)
    judge.check([0, 1], np.stack([rows(0), rows(1)]))
    assert judge.wrong == []
    judge.check([0], rows(1)[None])
    assert len(judge.wrong) == 1
    judge.check([0], np.zeros((1, 300, 6), np.float32))
    assert len(judge.wrong) == 2


@pytest.mark.parametrize(("precision", "is_wrong"), [("fp32", True), ("fp16", False), ("int8", False)])
def test_a_few_sensitive_boxes_are_the_precisions_own(precision: str, is_wrong: bool) -> None:
    judge = checker(precision)
    moved = rows(0)
    moved[:3, 4] -= 0.15
    judge.check([0], moved[None])
    assert bool(judge.wrong) is is_wrong


def test_fp16_that_is_off_in_many_boxes_is_wrong() -> None:
    judge = checker("fp16")
    moved = rows(0)
    moved[:8, 4] -= 0.15
    judge.check([0], moved[None])
    assert judge.wrong
