"""HEIC and AVIF pictures, which OpenCV may not decode: FFmpeg decodes their tiles, which are put together here.

The boxes are those of ISO/IEC 14496-12 and 23008-12; telephones write a grid of 512 x 512 tiles.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from photofinish.client.sources.converting import BgrConverter
from photofinish.client.sources.decoding import reason_from_error
from photofinish.errors import SourceError

MAX_PIXELS = 1 << 28
_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


@dataclass(slots=True)
class _Items:
    """What the boxes say. kinds and places by item; tiles of a grid by its item, in reading order."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    places: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    tiles: dict[int, list[int]] = field(default_factory=dict)
    turns: list[int | None] = field(default_factory=list)
    uses: dict[int, list[int]] = field(default_factory=dict)
    data_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """How the tiles of a picture lie. tiles: their item numbers row by row; quarter_turns: anticlockwise."""

    columns: int
    rows: int
    size_wh: tuple[int, int]
    tiles: tuple[int, ...]
    quarter_turns: int


def image_from_heif(content: bytes, shown: str) -> npt.NDArray[np.uint8]:
    """The picture (height, width, 3), blue first. Raises SourceError when it cannot be decoded."""
    try:
        main = main_picture_of_heif(content)
        with av.open(io.BytesIO(content), "r", metadata_errors="replace") as container:
            streams = {stream.id: stream for stream in container.streams.video}
            if isinstance(main, TileGrid):
                return _image_from_tiles(container, streams, main)
            stream = streams.get(main) or container.streams.video[0]
            return BgrConverter().image_from_frame(next(container.decode(stream)))
    except (av.FFmpegError, ValueError, LookupError, StopIteration, MemoryError) as exc:
        raise SourceError(f"{shown} is not a picture that can be decoded: {reason_from_error(exc)}") from exc


def _image_from_tiles(
    container: InputContainer, streams: Mapping[int, VideoStream], grid: TileGrid
) -> npt.NDArray[np.uint8]:
    places = {streams[item].index: position for position, item in enumerate(grid.tiles)}
    tile_wh = (streams[grid.tiles[0]].width, streams[grid.tiles[0]].height)
    canvas = np.zeros((grid.rows * tile_wh[1], grid.columns * tile_wh[0], 3), np.uint8)
    converter, found = BgrConverter(), set()
    for packet in container.demux([streams[item] for item in grid.tiles]):
        position = places[packet.stream.index]
        for frame in packet.decode():
            if not isinstance(frame, VideoFrame) or (frame.width, frame.height) != tile_wh:
                raise ValueError("its tiles have different sizes")
            top, left = position // grid.columns * tile_wh[1], position % grid.columns * tile_wh[0]
            canvas[top : top + tile_wh[1], left : left + tile_wh[0]] = converter.image_from_frame(frame)
            found.add(position)
    if len(found) != len(grid.tiles):
        raise ValueError(f"{len(found)} of its {len(grid.tiles)} tiles can be decoded")
    image = np.ascontiguousarray(canvas[: grid.size_wh[1], : grid.size_wh[0]])
    turn = _TURNS.get(grid.quarter_turns)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), dtype=np.uint8)


def main_picture_of_heif(content: bytes) -> TileGrid | int:
    """The grid of the main picture, its item where it is one piece. Raises ValueError for boxes that make no sense."""
    items = _Items()
    for kind, start, end in _boxes(content, 0, len(content)):
        if kind == b"meta":
            _read_meta(content, start + 4, end, items)
    if items.kinds.get(items.primary) != b"grid":
        return items.primary
    base, offset, length = items.places[items.primary]
    data = content[base + offset : base + offset + length]
    if len(data) < 8:
        raise ValueError("its grid is incomplete")
    side = 4 if data[1] & 1 else 2
    rows, columns = data[2] + 1, data[3] + 1
    width, height = (int.from_bytes(data[4 + side * n : 4 + side * (n + 1)], "big") for n in range(2))
    tiles = tuple(items.tiles.get(items.primary, ()))
    if len(tiles) != rows * columns or not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"its grid of {columns} x {rows} tiles, {width} x {height} pixels, has {len(tiles)} tiles")
    used = [items.turns[use - 1] for use in items.uses.get(items.primary, ()) if 0 < use <= len(items.turns)]
    turn = next((turn for turn in used if turn is not None), 0)
    return TileGrid(columns=columns, rows=rows, size_wh=(width, height), tiles=tiles, quarter_turns=turn)


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box."""
    while start + 8 <= end:
        size, head = int.from_bytes(content[start : start + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(content[start + 8 : start + 16], "big"), 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield content[start + 4 : start + 8], start + head, start + size
        start += size


def _read_meta(content: bytes, start: int, end: int, items: _Items) -> None:
    for kind, begin, stop in _boxes(content, start, end):
        reader = _Reader(content[begin:stop])
        if kind == b"idat":
            items.data_start = begin
        elif kind == b"pitm":
            items.primary = reader.number(2 if reader.version() == 0 else 4)
        elif kind == b"iinf":
            reader.version()
            for name, inner, last in _boxes(content, begin + (6 if content[begin] == 0 else 8), stop):
                if name == b"infe" and content[inner] >= 2:
                    wide = 2 if content[inner] == 2 else 4
                    item = int.from_bytes(content[inner + 4 : inner + 4 + wide], "big")
                    items.kinds[item] = content[inner + 6 + wide : min(inner + 10 + wide, last)]
        elif kind == b"iloc":
            _read_places(reader, items)
        elif kind == b"iref":
            wide = 2 if reader.version() == 0 else 4
            for name, inner, last in _boxes(content, begin + 4, stop):
                if name == b"dimg":
                    part = _Reader(content[inner:last])
                    whole, count = part.number(wide), part.number(2)
                    items.tiles[whole] = [part.number(wide) for _ in range(count)]
        elif kind == b"iprp":
            _read_properties(content, begin, stop, items)
    items.places = {
        item: (items.data_start if base < 0 else base, offset, length)
        for item, (base, offset, length) in items.places.items()
    }


def _read_places(reader: _Reader, items: _Items) -> None:
    version = reader.version()
    sizes = reader.number(2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(reader.number(2 if version < 2 else 4)):
        item = reader.number(2 if version < 2 else 4)
        is_inside = version > 0 and reader.number(2) & 15 == 1
        reader.number(2)
        base = reader.number(of_base)
        for extent in range(reader.number(2)):
            if version > 0:
                reader.number(of_index)
            offset, length = reader.number(of_offset), reader.number(of_length)
            if extent == 0:
                items.places[item] = (-1 if is_inside else 0, base + offset, length)


def _read_properties(content: bytes, start: int, end: int, items: _Items) -> None:
    for kind, begin, stop in _boxes(content, start, end):
        if kind == b"ipco":
            items.turns = [
                content[inner] & 3 if name == b"irot" and last > inner else None
                for name, inner, last in _boxes(content, begin, stop)
            ]
        elif kind == b"ipma":
            reader = _Reader(content[begin:stop])
            flags = reader.number(4)
            wide = 2 if flags >> 24 == 0 else 4
            for _ in range(reader.number(4)):
                item, count = reader.number(wide), reader.number(1)
                mask = 0x7FFF if flags & 1 else 0x7F
                items.uses[item] = [reader.number(2 if flags & 1 else 1) & mask for _ in range(count)]


class _Reader:
    """Numbers one after the other; ValueError where there are no more."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def number(self, size: int) -> int:
        end = self._position + size
        if end > len(self._content):
            raise ValueError("its boxes are cut short")
        value = int.from_bytes(self._content[self._position : end], "big")
        self._position = end
        return value

    def version(self) -> int:
        """The version of a full box, whose flags are passed over."""
        return self.number(4) >> 24
