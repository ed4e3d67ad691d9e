"""Kernels as they are compiled for the GPU of this machine, and a whole network with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.kernels.availability import kernels_problem
from photofinish.export.kernels.layers.attention import attention, attention_by_reference, pools, pools_by_reference
from photofinish.export.kernels.layers.layer import flat_from_tensors, outputs_by_reference
from photofinish.export.kernels.layers.layer_op import layer_outputs
from photofinish.export.kernels.layers.rows import best_rows, rows_by_sorting
from photofinish.export.kernels.search.timing import random_tensors
from photofinish.export.loading.ultralytics import source_from_yaml
from photofinish.export.recipes.aoti import PLAN_NAME, compile_packages, output_from_package
from tests.export.kernels.cases import CASES
from tests.export.kernels.layers.test_rows import random_heads

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(kernels_problem("cuda")), reason=f"kernels: {kernels_problem('cuda')}"),
]


@pytest.mark.parametrize(("layer", "tile"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_layer_gives_what_the_reference_gives(layer: Any, tile: Any) -> None:
    tensors = random_tensors(layer, "cuda")
    found = layer_outputs(flat_from_tensors(tensors), layer.to_text(), tile.to_text())
    for output, right in zip(found, outputs_by_reference(layer, tensors), strict=True):
        assert (output.float() - right.float()).abs().max().item() < 0.01


@pytest.mark.parametrize(("anchors", "classes"), [(8400, 6), (5040, 6), (8400, 80), (100, 6)])
def test_the_same_rows_are_chosen_on_2000_frames(anchors: int, classes: int) -> None:
    for grid in (0.0, 0.5, 100.0, 0.0078125):
        scores, boxes = (tensor.cuda() for tensor in random_heads(500, anchors, classes, grid=grid))
        best = scores.amax(2)
        assert torch.equal(best_rows(best, scores, boxes, 300), rows_by_sorting(best, scores, boxes, 300))


@pytest.mark.parametrize("pictures", [1, 8])
def test_attention_and_max_pools_give_what_the_references_give(pictures: int) -> None:
    torch.manual_seed(0)
    qkv = torch.randn(pictures, 12, 20, 256, device="cuda").half()
    weight, bias = torch.randn(9, 128, device="cuda").half() * 0.3, torch.randn(128, device="cuda").half()
    expected = attention_by_reference(qkv, weight, bias, 2, 32, 0.2)
    assert (attention(qkv, weight, bias, 2, 32, 0.2).float() - expected.float()).abs().max().item() < 0.01
    assert torch.equal(pools(qkv, 64, 128, 2, 3), pools_by_reference(qkv, 64, 128, 2, 3))


def test_a_package_with_kernels_gives_what_the_network_gives(tmp_path: Path) -> None:
    source = source_from_yaml("yolo26n.yaml", model="toy", sha256="", input_size=320)
    frames = np.random.default_rng(0).integers(0, 256, (2, 320, 320, 3), dtype=np.uint8)
    said: list[str] = []
    network = frames_network_from_source(source, precision="fp16")
    packages = compile_packages(
        network, (320, 320), (2,), folder=tmp_path, device="cuda", on_progress=said.append, search_s=240.0
    )
    assert (tmp_path / PLAN_NAME).is_file(), said
    with torch.no_grad():
        expected = network(torch.from_numpy(frames).cuda()).cpu().numpy()
    found = output_from_package(packages[2], frames, size=2, device="cuda")
    np.testing.assert_allclose(found[..., 4], expected[..., 4], atol=0.02)
