"""The newest wanted pictures of a lane's cameras, in memory of the lane's own, written where the owner wants them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from photofinish.client.cameras.decode.gpu.device import GpuDevice, GpuLane, PlainSurface, Surface
from photofinish.client.cameras.decode.nv12.job import Colours, job_from_picture
from photofinish.client.cameras.decode.writing import RegionMaps
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.client.triton.cuda_region import is_cuda_region
from photofinish.errors import SourceError, reason_from_error
from photofinish.letterbox import letterbox_of

_log = logging.getLogger(__name__)
MAX_OPENED = 64
"""Regions of a GPU that are open at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A picture that the owner wants: the camera's newest, None while it has none, and how its colours are coded."""

    wish: WriteFrame
    held: tuple[Surface, DueFrame] | None
    colours: Colours


class KeptPictures:
    """A buffer for each camera. For the thread of its lane."""

    def __init__(self, device: GpuDevice, lane: GpuLane) -> None:
        self._device = device
        self._lane = lane
        self._buffers: dict[str, tuple[int, int]] = {}

    def keep(self, camera: str, surface: Surface) -> Surface:
        """The picture in the camera's own buffer; the copy goes ahead of whatever the lane is asked for next."""
        width, height = surface.size_wh
        pitch, rows = width + width % 2, (height + 1) // 2
        luma = self._buffer(camera, (height + rows) * pitch)
        chroma = luma + height * pitch
        from_luma, from_chroma, from_pitch = surface.luma, surface.chroma, surface.luma_pitch
        if (from_chroma, surface.chroma_pitch, pitch) == (from_luma + height * from_pitch, from_pitch, width):
            self._lane.copy_rows(luma, pitch, from_luma, from_pitch, width, height + rows)
        else:
            self._lane.copy_rows(luma, pitch, from_luma, from_pitch, width, height)
            self._lane.copy_rows(chroma, pitch, from_chroma, surface.chroma_pitch, pitch, rows)
        return PlainSurface(
            luma=luma,
            chroma=chroma,
            luma_pitch=pitch,
            chroma_pitch=pitch,
            size_wh=(width, height),
            number=surface.number,
        )

    def forget(self, camera: str) -> None:
        """Give a camera's buffer back."""
        address, _ = self._buffers.pop(camera, (0, 0))
        if address:
            self._lane.finish()
            self._device.free(address)

    def _buffer(self, camera: str, size: int) -> int:
        address, has = self._buffers.get(camera, (0, 0))
        if has != size:
            self.forget(camera)
            address = self._device.allocate(size)
            self._buffers[camera] = (address, size)
        return address


class LetterboxWriter:
    """Letterboxes pictures into regions: a GPU's memory where the engine reads it, or by way of the host elsewhere.

    For the thread of its lane. A GPU's region is let go of when its owner says so, or when others take its place.
    """

    def __init__(self, device: GpuDevice, lane: GpuLane) -> None:
        self._device = device
        self._lane = lane
        self._maps = RegionMaps()
        self._opened: OrderedDict[str, int] = OrderedDict()
        self._scratch: list[tuple[int, int]] = []

    def write(self, asked: list[Asked]) -> list[FrameWritten]:
        """Write all, wait once for the device, and say for each which picture it was."""
        answers = [self._begin(place, item) for place, item in enumerate(asked)]
        try:
            self._lane.finish()
            return [
                self._end(place, item, answer) for place, (item, answer) in enumerate(zip(asked, answers, strict=True))
            ]
        except SourceError as exc:
            return [_lost(item.wish, str(exc)) for item in asked]

    def forget(self, region: str) -> None:
        """Let go of a GPU's region, if it is open here."""
        address = self._opened.pop(region, 0)
        if address:
            try:
                self._lane.finish()
                self._device.close_region(address)
            except SourceError as exc:
                _log.info("a region of the GPU could not be closed: %s", exc)

    def _begin(self, place: int, asked: Asked) -> FrameWritten:
        wish = asked.wish
        if asked.held is None:
            return _lost(wish, "no picture is held")
        surface, told = asked.held
        letterbox = letterbox_of(surface.size_wh, wish.input_wh)
        try:
            if is_cuda_region(wish.region):
                if wish.contract != "frames":
                    raise SourceError("a GPU's memory takes pictures of the frames contract alone")
                out = self._device_region(wish.region) + wish.position * letterbox_bytes(wish)
            else:
                out = self._scratch_at(place, letterbox_bytes(wish))
            self._lane.letterbox(
                job_from_picture(
                    letterbox,
                    asked.colours,
                    luma=surface.luma,
                    chroma=surface.chroma,
                    luma_pitch=surface.luma_pitch,
                    chroma_pitch=surface.chroma_pitch,
                    out=out,
                )
            )
        except SourceError as exc:
            return _lost(wish, str(exc))
        return FrameWritten(request=wish.request, camera=wish.camera, frame=told, letterbox=letterbox)

    def _end(self, place: int, asked: Asked, answer: FrameWritten) -> FrameWritten:
        """Bring a picture to the host, where the owner wants it there."""
        wish = asked.wish
        if answer.frame is None or is_cuda_region(wish.region):
            return answer
        try:
            out = self._maps.array(wish.region, wish.shape, wish.datatype)[wish.position]
            width, height = wish.input_wh
            pixels = out if wish.contract == "frames" else np.empty((height, width, 3), np.uint8)
            self._lane.fetch(int(pixels.ctypes.data), self._scratch[place][0], pixels.nbytes)
            self._lane.finish()
            if wish.contract != "frames":
                np.divide(pixels.transpose(2, 0, 1), 255, out=out, casting="same_kind", dtype=np.float32)
        except (SourceError, ValueError, IndexError, MemoryError) as exc:
            return _lost(wish, reason_from_error(exc))
        return answer

    def _device_region(self, name: str) -> int:
        address = self._opened.get(name)
        if address is None:
            address = self._opened[name] = self._device.open_region(name)
            if len(self._opened) > MAX_OPENED:
                _, old = self._opened.popitem(last=False)
                self._device.close_region(old)
        else:
            self._opened.move_to_end(name)
        return address

    def _scratch_at(self, place: int, size: int) -> int:
        """Memory of the device for the picture at this place of what is written at once."""
        while len(self._scratch) <= place:
            self._scratch.append((0, 0))
        address, has = self._scratch[place]
        if has < size:
            if address:
                self._lane.finish()
                self._device.free(address)
            address = self._device.allocate(size)
            self._scratch[place] = (address, size)
        return address


def letterbox_bytes(wish: WriteFrame) -> int:
    """What one letterboxed picture takes."""
    width, height = wish.input_wh
    return width * height * 3


def _lost(wish: WriteFrame, why: str) -> FrameWritten:
    return FrameWritten(request=wish.request, camera=wish.camera, frame=None, message=why)
