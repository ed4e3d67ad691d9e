"""Pictures in a batch are compared with the same pictures alone: rounding is forgiven, a mix-up is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.export.graph.dynamic_batch import _are_alike


@pytest.fixture
def rows() -> npt.NDArray[np.float32]:
    """300 chosen rows of one random picture, best first."""
    random = np.random.default_rng(1)
    rows = random.uniform(0, 640, (300, 6)).astype(np.float32)
    rows[:, 4] = np.sort(random.uniform(0.001, 0.002, 300))[::-1]
    rows[:, 5] = random.integers(0, 80, 300)
    return rows


def test_rows_may_change_places_and_a_few_at_the_end_may_be_others(rows: npt.NDArray[np.float32]) -> None:
    swapped = rows[np.r_[1, 0, 2:300]]
    assert _are_alike(swapped, rows)
    others = swapped.copy()
    others[-5:, :4] += 300
    assert _are_alike(others, rows)
    assert _are_alike(rows + np.float32(1e-3), rows)


def test_another_pictures_rows_are_not_alike(rows: npt.NDArray[np.float32]) -> None:
    other = rows.copy()
    other[:, :4] = np.random.default_rng(2).uniform(0, 640, (300, 4))
    assert not _are_alike(other, rows)
    assert not _are_alike(np.zeros_like(rows), rows)
    half = rows.copy()
    half[100:] = other[100:]
    assert not _are_alike(half, rows)


def test_raw_heads_must_agree_everywhere() -> None:
    raw = np.random.default_rng(3).uniform(0, 640, (84, 2100)).astype(np.float32)
    assert _are_alike(raw + np.float32(1e-3), raw)
    wrong = raw.copy()
    wrong[:, :50] += 5
    assert not _are_alike(wrong, raw)
    boxes = raw.copy()
    boxes[:4] += 100
    assert not _are_alike(boxes, raw), "four of 84 channels are all the boxes"
    assert not _are_alike(raw[:, :10].T.repeat(210, axis=0), raw.T)
