"""HEIC pictures as telephones write them, from frames that ffmpeg codes; ISO/IEC 23008-12 has the boxes."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.client.sources.clips import ffmpeg

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def full_box(kind: bytes, version_and_flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version_and_flags), *parts)


def child(content: bytes, *path: bytes) -> bytes:
    """The content of a box below others."""
    for kind in path:
        position = 0
        while content[position + 4 : position + 8] != kind:
            position += int.from_bytes(content[position : position + 4], "big")
        content = content[position + 8 : position + int.from_bytes(content[position : position + 4], "big")]
    return content


def coded_frame(folder: Path, size_wh: tuple[int, int], filters: str) -> tuple[bytes, bytes]:
    """One frame of H.265 and its decoder configuration."""
    path = folder / "frame.mp4"
    source = f"testsrc2=s={size_wh[0]}x{size_wh[1]}"
    ffmpeg("-f", "lavfi", "-i", source, "-vf", filters, "-frames:v", 1, "-c:v", "libx265", "-x265-params",
           "log-level=none", "-pix_fmt", "yuv420p", "-tag:v", "hvc1", path)  # fmt: skip
    content = path.read_bytes()
    table = child(content, b"moov", b"trak", b"mdia", b"minf", b"stbl")
    configuration = child(child(table, b"stsd")[8 + 8 + 78 :], b"hvcC")
    offset, size = (
        int.from_bytes(child(table, kind)[start : start + 4], "big") for kind, start in ((b"stco", 8), (b"stsz", 12))
    )
    if size == 0 or int.from_bytes(child(table, b"stsz")[4:8], "big"):
        size = int.from_bytes(child(table, b"stsz")[4:8], "big")
    return content[offset : offset + size], configuration


def write_heic(
    path: Path,
    *,
    grid: tuple[int, int] = (1, 1),
    tile_wh: tuple[int, int] = (64, 64),
    size_wh: tuple[int, int] | None = None,
    quarter_turns: int = 0,
) -> Path:
    """A picture, or one of several tiles: grid is columns and rows, size_wh cuts off what the tiles have too much."""
    columns, rows = grid
    full_wh = (tile_wh[0] * columns, tile_wh[1] * rows)
    tiles = []
    for row in range(rows):
        for column in range(columns):
            crop = f"crop={tile_wh[0]}:{tile_wh[1]}:{column * tile_wh[0]}:{row * tile_wh[1]}"
            tiles.append(coded_frame(path.parent, full_wh, crop))
    shown_wh = size_wh or full_wh
    is_grid = columns * rows > 1
    data = [frame for frame, _ in tiles]
    kinds = [b"hvc1"] * len(tiles)
    if is_grid:
        data.insert(0, struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *shown_wh))
        kinds.insert(0, b"grid")
    count = len(data)
    infos = [
        full_box(b"infe", 2 << 24, struct.pack(">HH", index, 0), kind, b"\0") for index, kind in enumerate(kinds, 1)
    ]
    properties = [box(b"hvcC", tiles[0][1]), full_box(b"ispe", 0, struct.pack(">II", *tile_wh))]
    properties += [full_box(b"ispe", 0, struct.pack(">II", *shown_wh)), box(b"irot", bytes([quarter_turns]))]
    turn = [4] if quarter_turns else []
    of_tile, of_first = [0x81, 2], [3, *turn] if is_grid else [0x81, 2, *turn]
    associations = [of_first, *[of_tile] * (count - 1)]
    ipma = full_box(b"ipma", 0, struct.pack(">I", count), *(
        struct.pack(">HB", index, len(used)) + bytes(used) for index, used in enumerate(associations, 1)
    ))  # fmt: skip
    references = [
        full_box(b"iref", 0, box(b"dimg", struct.pack(f">HH{count - 1}H", 1, count - 1, *range(2, count + 1))))
    ]

    def meta(offsets: list[int]) -> bytes:
        iloc = full_box(b"iloc", 0, b"\x44\x00", struct.pack(">H", count), *(
            struct.pack(">HHHII", index, 0, 1, offset, len(content))
            for index, (offset, content) in enumerate(zip(offsets, data, strict=True), 1)
        ))  # fmt: skip
        return full_box(
            b"meta", 0,
            full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, struct.pack(">H", 1)),
            iloc,
            full_box(b"iinf", 0, struct.pack(">H", count), *infos),
            *(references if is_grid else []),
            box(b"iprp", box(b"ipco", *properties), ipma),
        )  # fmt: skip

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    begin = len(head) + len(meta([0] * count)) + 8
    offsets = [begin + sum(map(len, data[:index])) for index in range(count)]
    path.write_bytes(head + meta(offsets) + box(b"mdat", *data))
    return path
