"""The best rows of an NMS-free head, chosen by one kernel on a GPU and by stable sorts elsewhere."""

from __future__ import annotations

import torch
from torch.library import triton_op, wrap_triton

from photofinish.export.kernels.layers import rows_triton

ROOM = 512
"""Candidates that are sorted: a power of two above the rows."""
MAX_PAIRS = 32768
"""Pairs of anchor and class that one block of threads holds."""


@triton_op("photofinish::best_rows", mutates_args=())
def best_rows(best: torch.Tensor, scores: torch.Tensor, boxes: torch.Tensor, limit: int) -> torch.Tensor:
    """Rows (n, k, 6) FP32, k = min(limit, anchors): x1, y1, x2, y2, confidence, class; best first.

    best (n, anchors): each anchor's highest score; scores (n, anchors, classes); boxes (n, anchors, 4), all FP32. The
    k anchors with the highest `best` first, then the k highest scores among theirs, as Ultralytics' heads choose.
    Equal ones stand in the order of the anchors, then of the classes.
    """
    pictures, anchors, classes = scores.shape
    count = min(limit, anchors)
    rows = best.new_empty((pictures, count, 6))
    scratch = torch.empty((pictures, ROOM), dtype=torch.int64, device=best.device)
    order = torch.empty((pictures, ROOM), dtype=torch.int32, device=best.device)
    wrap_triton(rows_triton.rows_kernel)[(pictures,)](
        best.contiguous(),
        scores,
        boxes,
        scratch,
        order,
        rows,
        ANCHORS=anchors,
        CLASSES=classes,
        ROWS=count,
        SCORE_PICTURE=scores.stride(0),
        SCORE_ANCHOR=scores.stride(1),
        SCORE_CLASS=scores.stride(2),
        BOX_PICTURE=boxes.stride(0),
        BOX_ANCHOR=boxes.stride(1),
        BOX_SIDE=boxes.stride(2),
        ANCHOR_ROOM=power_of_two(anchors),
        PAIR_ROOM=power_of_two(count * classes),
        ROOM=ROOM,
        num_warps=16,
    )
    return rows


@best_rows.register_kernel("cpu")
def _(best: torch.Tensor, scores: torch.Tensor, boxes: torch.Tensor, limit: int) -> torch.Tensor:
    return rows_by_sorting(best, scores, boxes, limit)


def rows_by_sorting(best: torch.Tensor, scores: torch.Tensor, boxes: torch.Tensor, limit: int) -> torch.Tensor:
    """What `best_rows` gives, by two stable sorts."""
    classes = scores.shape[2]
    count = min(limit, scores.shape[1])
    anchors = best.argsort(dim=1, descending=True, stable=True)[:, :count]
    of_anchors = scores.gather(1, anchors.unsqueeze(2).expand(-1, -1, classes)).flatten(1)
    confidences, pairs = (found[:, :count] for found in of_anchors.sort(dim=1, descending=True, stable=True))
    owners = anchors.gather(1, pairs // classes)
    chosen = boxes.gather(1, owners.unsqueeze(2).expand(-1, -1, 4))
    return torch.cat((chosen, confidences.unsqueeze(2), (pairs % classes).unsqueeze(2).to(boxes.dtype)), dim=2)


def fits(anchors: int, classes: int, limit: int) -> bool:
    """Whether one block of threads can hold the pairs; more classes are left to PyTorch's top-k."""
    count = min(limit, anchors)
    return count <= ROOM and power_of_two(count * classes) <= MAX_PAIRS and power_of_two(anchors) <= MAX_PAIRS


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least` and 16."""
    return max(16, 1 << (least - 1).bit_length())
