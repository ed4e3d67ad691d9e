from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from photofinish.export.kernels.layers.layer import flat_from_tensors, outputs_by_reference
from photofinish.export.kernels.layers.layer_op import blocks, kernel_arguments, layer_outputs
from photofinish.export.kernels.search.timing import random_tensors
from tests.export.kernels.cases import CASES


def test_the_kernel_gives_what_the_reference_gives(interpreted: Callable[[str], dict[str, Any]]) -> None:
    off = interpreted("layers")
    assert sorted(off) == sorted(name for name, _, _ in CASES)
    assert {name: value for name, value in off.items() if not value < 0.005} == {}


def test_without_a_gpu_the_operator_is_the_reference() -> None:
    _, layer, tile = CASES[0]
    tensors = random_tensors(layer, "cpu")
    (found,) = layer_outputs(flat_from_tensors(tensors), layer.to_text(), tile.to_text())
    assert torch.equal(found, outputs_by_reference(layer, tensors)[0])
    assert found.is_contiguous()


@pytest.mark.parametrize(("layer", "tile"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_argument_of_the_kernel_is_named_once(layer: Any, tile: Any) -> None:
    from photofinish.export.kernels.layers import layer_triton

    tensors = random_tensors(layer, "cpu")
    arguments, constants = kernel_arguments(layer, tile, tensors, [torch.empty(0)] * 3)
    names = layer_triton.layer_kernel.arg_names
    assert len(arguments) + len(constants) == len(names)
    assert set(names[len(arguments) :]) == set(constants)
    assert blocks(layer, tile) * tile.pixels >= layer.pixels
