from __future__ import annotations

import pytest

from photofinish.export.kernels.layers.layer import Layer
from photofinish.export.kernels.layers.layer_op import first_width
from photofinish.export.kernels.search.tiles import SHARED_BYTES, estimate_us, tiles_of_layer
from tests.export.kernels.cases import CASES, layer, source, stage


@pytest.mark.parametrize("item", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_every_layer_has_tiles_that_fit(item: Layer) -> None:
    tiles = tiles_of_layer(item, multiprocessors=132, limit=6)
    assert 0 < len(tiles) <= 6
    assert len(set(tiles)) == len(tiles)
    for tile in tiles:
        assert (tile.pixels + tile.channels) * tile.depth * 2 * tile.flight <= SHARED_BYTES
        assert estimate_us(item, tile, 132) > 0
        if len(item.stages) > 1:
            assert tile.channels == first_width(item, tile)
            assert tile.pixels < 64 or tile.warps % 4, "several asynchronous products in one kernel"


def test_a_step_never_runs_from_one_source_into_the_next() -> None:
    item = layer("pointwise", stage(source(48), source(32), out=64))
    assert {tile.depth for tile in tiles_of_layer(item, multiprocessors=132, limit=99)} == {16}


def test_small_pictures_are_cut_finer_than_large_ones() -> None:
    def pixels(height: int) -> int:
        item = layer("pointwise", stage(source(128), out=128), height=height, width=height)
        return tiles_of_layer(item, multiprocessors=132, limit=1)[0].pixels

    assert pixels(10) < pixels(320)
