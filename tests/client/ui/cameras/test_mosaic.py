from __future__ import annotations

import numpy as np
import pytest

from photofinish.client.ui.cameras.mosaic import (
    GROUND_BGR,
    MAX_TILES,
    MOSAIC_LAYOUTS,
    MosaicLayout,
    grid_for,
    mosaic_from_tiles,
    picture_wh,
)


@pytest.mark.parametrize("layout", MOSAIC_LAYOUTS)
def test_every_camera_has_a_place_and_no_row_is_empty(layout: MosaicLayout) -> None:
    for count in range(1, MAX_TILES + 20):
        grid = grid_for(count, layout)
        shown = min(count, MAX_TILES)
        assert grid.columns * grid.rows >= shown > grid.columns * (grid.rows - 1)
        assert grid.size_wh[0] <= 1280
        assert grid.tile_wh[0] >= 100


def test_a_phone_has_fewer_columns() -> None:
    assert [grid_for(count, "wide").columns for count in (1, 3, 9, 70)] == [1, 2, 3, 9]
    assert [grid_for(count, "tall").columns for count in (1, 3, 9, 70)] == [1, 2, 3, 3]


def test_tiles_lie_row_by_row_and_a_camera_without_a_picture_is_dark() -> None:
    names = ["a", "b", "c"]
    width, height = picture_wh(len(names))
    tiles = {name: np.full((height, width, 3), value, dtype=np.uint8) for name, value in (("a", 50), ("c", 200))}
    picture = mosaic_from_tiles(names, tiles, "wide")
    grid = grid_for(3, "wide")
    assert picture.shape == (grid.size_wh[1], grid.size_wh[0], 3)
    tile_w, tile_h = grid.tile_wh
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    middles = [picture[row * tile_h + tile_h // 2, column * tile_w + tile_w // 2] for row, column in places]
    assert [tuple(int(part) for part in middle) for middle in middles] == [
        (50, 50, 50),
        GROUND_BGR,
        (200, 200, 200),
        GROUND_BGR,
    ]
