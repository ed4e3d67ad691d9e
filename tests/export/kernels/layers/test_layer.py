from __future__ import annotations

import torch
from torch.nn import functional

from photofinish.export.kernels.layers.layer import (
    LayerTensors,
    Stage,
    StageTensors,
    Tile,
    flat_from_tensors,
    layer_from_text,
    outputs_by_reference,
    packed_weight,
    padded_bias,
    pair_weight,
    representative,
    tensors_of_layer,
    tile_from_text,
    with_tile_rows,
)
from photofinish.export.kernels.search.timing import random_tensors
from tests.export.kernels.cases import CASES, PAIRS, layer, source, stage


def test_layers_and_tiles_travel_as_text() -> None:
    for _, item, tile in CASES:
        assert layer_from_text(item.to_text()) == item
        assert tile_from_text(tile.to_text()) == tile
    assert Tile(pixels=1, channels=2, depth=3) == Tile(pixels=1, channels=2, depth=3, warps=4, flight=3)


def test_a_flat_list_of_tensors_is_taken_apart_as_it_was() -> None:
    for _, item, _ in CASES:
        flat = flat_from_tensors(random_tensors(item, "cpu"))
        again = flat_from_tensors(tensors_of_layer(item, flat))
        assert [id(tensor) for tensor in flat] == [id(tensor) for tensor in again]


def test_the_reference_is_a_convolution_with_what_follows() -> None:
    torch.manual_seed(0)
    images, extra, residual = torch.randn(2, 6, 10, 16), torch.randn(2, 6, 10, 32), torch.randn(2, 6, 10, 24)
    first, second = torch.randn(20, 16, 3, 3) / 12, torch.randn(24, 20 + 32, 1, 1) / 7
    first_bias, second_bias = torch.randn(20), torch.randn(24)
    item = layer(
        "window", stage(source(16), out=20), stage(source(32), out=24, residual=source(24), last="relu"), kernel=3
    )
    tensors = LayerTensors(
        depthwise_weight=None,
        depthwise_bias=None,
        stages=[
            StageTensors(
                sources=[images.half()],
                weight=packed_weight(first.half()),
                bias=padded_bias(first_bias.half()),
                residual=None,
            ),
            StageTensors(
                sources=[extra.half()],
                weight=with_tile_rows(packed_weight(second.half()), channels=20),
                bias=padded_bias(second_bias.half()),
                residual=residual.half(),
            ),
        ],
    )
    tile = functional.silu(functional.conv2d(images.permute(0, 3, 1, 2), first, first_bias, padding=1))
    both = torch.cat((tile, extra.permute(0, 3, 1, 2)), dim=1)
    last = functional.relu(functional.silu(functional.conv2d(both, second, second_bias)) + residual.permute(0, 3, 1, 2))
    found = outputs_by_reference(item, tensors)
    torch.testing.assert_close(found[0].float(), tile.permute(0, 2, 3, 1), atol=0.01, rtol=0.01)
    torch.testing.assert_close(found[1].float(), last.permute(0, 2, 3, 1), atol=0.01, rtol=0.01)


def test_neighbours_at_once_are_the_same_convolution() -> None:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (2, 8, 12, 3), dtype=torch.uint8)
    weight, bias = torch.randn(16, 3, 3, 3).half(), torch.randn(16).half()
    tensors = StageTensors(
        sources=[frames], weight=pair_weight(weight), bias=padded_bias(torch.cat((bias, bias))), residual=None
    )
    (found,) = outputs_by_reference(PAIRS, LayerTensors(depthwise_weight=None, depthwise_bias=None, stages=[tensors]))
    images = (frames.float() / 255).half().float().permute(0, 3, 1, 2)
    expected = functional.silu(functional.conv2d(images, weight.float(), bias.float(), stride=2, padding=1))
    torch.testing.assert_close(found.view(2, 4, 6, 16).float(), expected.permute(0, 2, 3, 1), atol=0.005, rtol=0.002)


def test_a_byte_scaled_by_multiplication_is_the_same_fp16_number() -> None:
    byte = torch.arange(256, dtype=torch.float32)
    assert torch.equal((byte * (1.0 / 255.0)).half(), (byte / 255).half())


def test_where_sources_begin_makes_no_other_layer_to_measure() -> None:
    one = layer("pointwise", stage(source(16, 16, 64), out=16, residual=source(16, 8, 32)))
    other = layer("pointwise", stage(source(16), out=16, residual=source(16)))
    assert representative(one) == representative(other) == other
    assert Stage(sources=(), out_channels=20).padded == 32
