from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.nn.modules import Detect

from photofinish.export.kernels.layers.rows import best_rows, fits, rows_by_sorting


def random_heads(count: int, anchors: int, classes: int, *, grid: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (count, anchors, classes) in 0..1 and boxes; grid: scores fall on it, so that many are equal."""
    generator = torch.Generator().manual_seed(count * anchors + classes)
    logits = torch.randn(count, anchors, classes, generator=generator) * 2 - 5
    if grid:
        logits = (logits / grid).round() * grid
    return logits.sigmoid(), torch.rand(count, 4, anchors, generator=generator).permute(0, 2, 1) * 640


@pytest.mark.parametrize(("anchors", "classes"), [(8400, 6), (5040, 6), (2100, 80), (120, 3)])
def test_rows_are_those_of_the_head_on_random_frames(anchors: int, classes: int) -> None:
    head = Detect(nc=classes, ch=(16, 16, 16))
    for _ in range(5):
        scores, boxes = random_heads(100, anchors, classes)
        expected = head.postprocess(torch.cat((boxes, scores), dim=2))
        found = rows_by_sorting(scores.amax(2), scores, boxes, 300)
        # Few of these scores are equal: there alone the head's own order is left open.
        same = (found == expected).flatten(1).all(dim=1)
        clear = torch.tensor([len(set(picture.tolist())) == len(picture) for picture in expected[..., 4]])
        assert clear.sum() > 20
        assert bool(same[clear].all())


@pytest.mark.parametrize(("anchors", "classes", "grid"), [(900, 4, 0.5), (900, 4, 100.0), (40, 3, 0.5), (300, 1, 0.25)])
def test_equal_scores_stand_in_the_order_of_anchors_then_classes(anchors: int, classes: int, grid: float) -> None:
    scores, boxes = random_heads(10, anchors, classes, grid=grid)
    found = rows_by_sorting(scores.amax(2), scores, boxes, 300).numpy()
    for picture in range(10):
        table = scores[picture].numpy()
        best = table.max(axis=1)
        order = np.lexsort((np.arange(anchors), -best))[:300]
        pairs = [(-table[a, c], place, c) for place, a in enumerate(order) for c in range(classes)]
        wanted = sorted(pairs)[: len(order)]
        assert [row[5] for row in found[picture]] == [c for _, _, c in wanted]
        np.testing.assert_array_equal(found[picture][:, :4], boxes[picture].numpy()[[order[p] for _, p, _ in wanted]])


def test_the_kernel_chooses_the_same_rows(interpreted: Callable[[str], dict[str, Any]]) -> None:
    assert interpreted("rows") == {"520 6 0.5": True, "600 1 9.0": True, "100 3 0.0": True}


def test_without_a_gpu_the_operator_sorts() -> None:
    scores, boxes = random_heads(2, 500, 3)
    best = scores.amax(2)
    assert torch.equal(best_rows(best, scores, boxes, 300), rows_by_sorting(best, scores, boxes, 300))


def test_more_pairs_than_a_block_holds_are_left_to_pytorch() -> None:
    assert fits(8400, 80, 300)
    assert fits(100, 300, 300)
    assert not fits(8400, 365, 300)
    assert not fits(33600, 6, 300)
    assert not fits(8400, 6, 1000)
