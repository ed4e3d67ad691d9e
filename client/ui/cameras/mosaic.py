"""All cameras in one picture: where each tile lies, and the picture itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

MosaicLayout = Literal["wide", "tall"]
"""wide: for a desk. tall: fewer columns, for a phone."""
MOSAIC_LAYOUTS: tuple[MosaicLayout, MosaicLayout] = ("wide", "tall")
MAX_TILES = 144
"""Cameras in the mosaic; the table has all."""
LARGE_WH, SMALL_WH = (640, 360), (320, 180)
LARGE_UP_TO = 9
GROUND_BGR = (29, 24, 20)
_WIDTH_PX: Mapping[MosaicLayout, int] = {"wide": 1280, "tall": 720}
_GAP_PX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Tiles row by row. tile_wh: with the gap at its right and lower side."""

    columns: int
    rows: int
    tile_wh: tuple[int, int]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the whole picture."""
        return self.columns * self.tile_wh[0], self.rows * self.tile_wh[1]


def grid_for(count: int, layout: MosaicLayout) -> Grid:
    """Where so many cameras lie, at most MAX_TILES."""
    count = min(max(count, 1), MAX_TILES)
    columns = math.ceil(math.sqrt(count)) if layout == "wide" else min(math.ceil(math.sqrt(count / 2)), 3)
    width = min(_WIDTH_PX[layout] // columns, LARGE_WH[0]) // 2 * 2
    return Grid(columns=columns, rows=math.ceil(count / columns), tile_wh=(width, width * 9 // 16 // 2 * 2))


def picture_wh(count: int) -> tuple[int, int]:
    """The size in which the tiles' pictures are asked for."""
    return LARGE_WH if count <= LARGE_UP_TO else SMALL_WH


def mosaic_from_tiles(
    names: Sequence[str], tiles: Mapping[str, npt.NDArray[np.uint8]], layout: MosaicLayout
) -> npt.NDArray[np.uint8]:
    """One picture, (height, width, 3) uint8; cameras without a tile are left dark."""
    grid = grid_for(len(names), layout)
    width, height = grid.size_wh
    canvas: npt.NDArray[np.uint8] = np.full((height, width, 3), GROUND_BGR, dtype=np.uint8)
    tile_w, tile_h = grid.tile_wh
    inside_wh = (tile_w - _GAP_PX, tile_h - _GAP_PX)
    for index, name in enumerate(names[:MAX_TILES]):
        tile = tiles.get(name)
        if tile is None:
            continue
        left, top = index % grid.columns * tile_w, index // grid.columns * tile_h
        shrunk = cv2.resize(tile, inside_wh, interpolation=cv2.INTER_AREA)
        canvas[top : top + inside_wh[1], left : left + inside_wh[0]] = shrunk
    return canvas
