"""Runs kernels in Triton's interpreter and prints how far each is off its reference. A process of its own: Triton
reads TRITON_INTERPRET when a kernel is defined.

    TRITON_INTERPRET=1 python -m tests.export.kernels.interpreted layers|rows|blocks
"""

from __future__ import annotations

import json
import sys

import torch

from photofinish.export.kernels.layers import attention_triton, layer_triton, rows_triton
from photofinish.export.kernels.layers.attention import attention_by_reference, pools_by_reference
from photofinish.export.kernels.layers.layer import outputs_by_reference
from photofinish.export.kernels.layers.layer_op import blocks, empty_outputs, kernel_arguments
from photofinish.export.kernels.layers.rows import ROOM, power_of_two, rows_by_sorting
from photofinish.export.kernels.search.timing import random_tensors
from tests.export.kernels.cases import CASES


def layers() -> dict[str, float]:
    """The largest difference of each case; not written results count as infinite."""
    found = {}
    for name, layer, tile in CASES:
        tensors = random_tensors(layer, "cpu", torch.Generator().manual_seed(0))
        outputs = empty_outputs(layer, torch.device("cpu"))
        for output in outputs:
            output.fill_(torch.inf)
        arguments, constants = kernel_arguments(layer, tile, tensors, outputs)
        layer_triton.layer_kernel[(blocks(layer, tile),)](*arguments, **constants)
        expected = outputs_by_reference(layer, tensors)
        found[name] = max(
            (output.float() - right.float()).abs().max().item() for output, right in zip(outputs, expected, strict=True)
        )
    return found


def rows() -> dict[str, bool]:
    """Whether the rows are the very same, by anchors, classes and the grid of scores: 0 has no ties, 9 only ties."""
    found = {}
    torch.manual_seed(0)
    for anchors, classes, grid in ((520, 6, 0.5), (600, 1, 9.0), (100, 3, 0.0)):
        scores = torch.randn(2, anchors, classes)
        if grid:
            scores = (scores / grid).round() * grid
        scores[1] = -scores[1].abs()
        boxes = torch.rand(2, 4, anchors).permute(0, 2, 1)
        count = min(300, anchors)
        result = torch.full((2, count, 6), torch.nan)
        scratch = torch.zeros(2, ROOM, dtype=torch.int64)
        order = torch.zeros(2, ROOM, dtype=torch.int32)
        best = scores.amax(2).contiguous()
        rows_triton.rows_kernel[(2,)](
            best, scores, boxes, scratch, order, result,
            ANCHORS=anchors, CLASSES=classes, ROWS=count,
            SCORE_PICTURE=scores.stride(0), SCORE_ANCHOR=scores.stride(1), SCORE_CLASS=scores.stride(2),
            BOX_PICTURE=boxes.stride(0), BOX_ANCHOR=boxes.stride(1), BOX_SIDE=boxes.stride(2),
            ANCHOR_ROOM=power_of_two(anchors), PAIR_ROOM=power_of_two(count * classes), ROOM=ROOM,
        )  # fmt: skip
        found[f"{anchors} {classes} {grid}"] = torch.equal(result, rows_by_sorting(best, scores, boxes, 300))
    return found


def blocks_of_others() -> dict[str, float]:
    """Attention's and the max-pools' largest difference."""
    torch.manual_seed(0)
    qkv, weight, bias = torch.randn(2, 5, 7, 256).half(), torch.randn(9, 128).half() * 0.3, torch.randn(128).half()
    expected = attention_by_reference(qkv, weight, bias, 2, 32, 0.2)
    attended = torch.full_like(expected, torch.inf)
    attention_triton.attention_kernel[(3 * 2 * 2,)](
        qkv, weight, bias, attended,
        HEIGHT=5, WIDTH=7, HEADS=2, KEY=32, VALUE=64, SCALE=0.2, PE=True, BM=16, BL=16,
    )  # fmt: skip
    images = torch.randn(2, 5, 7, 48).half()
    right = pools_by_reference(images, 16, 32, 2, 3)
    pooled = torch.full_like(right, torch.inf)
    attention_triton.pools_kernel[(5,)](
        images, pooled,
        PIXELS=70, HEIGHT=5, WIDTH=7, CHANNELS=32, OFFSET=16, STRIDE=48, RADIUS=2, TIMES=3, BM=16, BC=32,
    )  # fmt: skip
    return {
        "attention": (attended.float() - expected.float()).abs().max().item(),
        "pools": (pooled - right).abs().max().item(),
    }


if __name__ == "__main__":
    runs = {"layers": layers, "rows": rows, "blocks": blocks_of_others}
    sys.stdout.write(json.dumps(runs[sys.argv[1]]()) + "\n")
