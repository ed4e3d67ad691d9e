"""The loop behind the page's pictures: takes those that somebody looks at, at a bounded rate, and encodes each once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.cameras.values.status import CameraStatus, IngestPhase
from photofinish.client.ui.cameras.mosaic import (
    MAX_TILES,
    MOSAIC_LAYOUTS,
    MosaicLayout,
    mosaic_from_tiles,
    picture_wh,
)
from photofinish.client.ui.cameras.pictures import AT_ONCE, PictureTaker, SmallPicture, dimmed, with_boxes
from photofinish.client.ui.page.composer import jpeg_from_picture

PICTURES_PER_S = 40.0
"""For the whole mosaic: each costs its decode process a conversion."""
TILE_FPS = 5.0
ONE_WH = (960, 540)
ONE_FPS = 5.0
LOOK_EVERY_S = 0.05
LONGEST_SILENCE_S = 1.0
OLD_S = 5.0
OLD_PERIODS = 3
"""A picture is old after so many seconds, or after so many times between pictures where these are longer."""
BOXES_WITHIN_NS = 10**9
"""Boxes are drawn on a picture captured at most so much earlier or later, the nearest ones."""


class PictureHub:
    """The newest encoded picture of each stream, and how many look at it. For any thread.

    A stream is a layout of the mosaic, or `camera/` and a name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._viewers: Counter[str] = Counter()

    @contextmanager
    def viewing(self, stream: str) -> Iterator[None]:
        """Counts one viewer while open."""
        with self._lock:
            self._viewers[stream] += 1
        try:
            yield
        finally:
            with self._lock:
                self._viewers[stream] -= 1
                if not self._viewers[stream]:
                    del self._viewers[stream]
                    self._pictures.pop(stream, None)

    def watched(self) -> frozenset[str]:
        """Streams that somebody looks at now."""
        with self._lock:
            return frozenset(self._viewers)

    def publish(self, stream: str, jpeg: bytes) -> None:
        """Replace the stream's picture, while somebody looks at it."""
        with self._lock:
            if stream in self._viewers:
                self._pictures[stream] = (self._pictures.get(stream, (0, b""))[0] + 1, jpeg)

    def newest(self, stream: str) -> tuple[int, bytes]:
        """Number of the newest picture, from 1, and its JPEG bytes; (0, b"") before the first."""
        return self._pictures.get(stream, (0, b""))


def stream_of_camera(name: str) -> str:
    """The hub's name for one camera's pictures."""
    return f"camera/{name}"


def oldest_s(row: CameraStatus) -> float:
    """Seconds after which a camera's picture is an old one; a camera that is degraded has one for each keyframe."""
    period_s = 1 / row.wanted_fps if row.step == "full" else 2 / row.wanted_fps
    return max(OLD_S, OLD_PERIODS * max(period_s, row.ingest.keyframe_interval_s or 0.0))


class CameraShow:
    """Fills `hub` while `run` runs, in the cell's loop."""

    def __init__(self, writer: FrameWriter, board: CellBoard) -> None:
        self.hub = PictureHub()
        self._writer = writer
        self._board = board
        self._takers: dict[tuple[int, int], PictureTaker] = {}
        self._tiles: dict[str, SmallPicture] = {}
        self._taken_s: dict[str, float] = {}
        self._shown_s = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                watched = self.hub.watched()
                status = self._board.status
                if not watched or status is None:
                    self._tiles.clear()
                    continue
                layouts = [layout for layout in MOSAIC_LAYOUTS if layout in watched]
                if layouts:
                    await self._show_mosaic(status.cameras[:MAX_TILES], layouts)
                for row in status.cameras:
                    if (stream := stream_of_camera(row.camera)) in watched:
                        await self._show_one(row, stream)
        finally:
            for taker in self._takers.values():
                taker.close()

    async def _show_mosaic(self, rows: Sequence[CameraStatus], layouts: Sequence[MosaicLayout]) -> None:
        now_s = time.monotonic()
        interval_s = max(1 / TILE_FPS, len(rows) / PICTURES_PER_S)
        waiting = [row for row in rows if now_s - self._taken_s.get(row.camera, 0) >= interval_s]
        waiting.sort(key=lambda row: self._taken_s.get(row.camera, 0))
        chosen = waiting[:AT_ONCE]
        if not chosen and now_s - self._shown_s < LONGEST_SILENCE_S:
            return
        taker = self._taker(picture_wh(len(rows)))
        for row in chosen:
            self._taken_s[row.camera] = now_s
        found = await asyncio.gather(*(taker.take(row.camera) for row in chosen))
        self._tiles.update({row.camera: tile for row, tile in zip(chosen, found, strict=True) if tile is not None})
        if len(waiting) > len(chosen) and now_s - self._shown_s < 1 / TILE_FPS:
            return
        self._shown_s = now_s
        tiles = {row.camera: tile for row in rows if (tile := self._tiles.get(row.camera)) is not None}
        for layout in layouts:
            self.hub.publish(layout, await asyncio.to_thread(self._mosaic_jpeg, rows, tiles, layout))

    def _mosaic_jpeg(self, rows: Sequence[CameraStatus], tiles: dict[str, SmallPicture], layout: MosaicLayout) -> bytes:
        drawn = {row.camera: self._drawn(row, tiles[row.camera]) for row in rows if row.camera in tiles}
        return jpeg_from_picture(mosaic_from_tiles([row.camera for row in rows], drawn, layout))

    async def _show_one(self, row: CameraStatus, stream: str) -> None:
        now_s = time.monotonic()
        if now_s - self._taken_s.get(stream, 0) < 1 / ONE_FPS:
            return
        self._taken_s[stream] = now_s
        picture = await self._taker(ONE_WH).take(row.camera)
        if picture is not None:
            drawn = await asyncio.to_thread(self._drawn, row, picture, has_labels=True)
            self.hub.publish(stream, await asyncio.to_thread(jpeg_from_picture, drawn))

    def _drawn(self, row: CameraStatus, picture: SmallPicture, *, has_labels: bool = False) -> npt.NDArray[np.uint8]:
        age_s = (time.perf_counter_ns() - picture.captured_ns) / 1e9
        if row.ingest.phase is not IngestPhase.PLAYING or age_s > oldest_s(row):
            return dimmed(picture.image_hwc_bgr)
        result = self._board.result_near(row.camera, picture.captured_ns, BOXES_WITHIN_NS)
        return with_boxes(picture, result, has_labels=has_labels)

    def _taker(self, size_wh: tuple[int, int]) -> PictureTaker:
        taker = self._takers.get(size_wh)
        if taker is None:
            taker = self._takers[size_wh] = PictureTaker(self._writer, size_wh)
        return taker
