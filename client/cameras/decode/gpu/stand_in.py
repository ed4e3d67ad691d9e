"""A GPU's stand-in on the CPU, for rehearsals: PyAV decodes into host memory, the kernel's own source runs there."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from photofinish.client.cameras.decode.gpu.device import PlainSurface, SessionLimitError, StreamFacts, Surface
from photofinish.client.cameras.decode.nv12.building import compiled_kernel
from photofinish.client.cameras.decode.nv12.job import LetterboxJob
from photofinish.errors import SourceError, reason_from_error


class StandInSession:
    """One stream's decoder. A surface is valid until the next `decode`, as on a GPU."""

    def __init__(self, facts: StreamFacts, on_close: Callable[[], None]) -> None:
        context = cast(VideoCodecContext, VideoCodecContext.create(facts.codec, "r"))
        context.thread_count = 1
        if not facts.is_reordered:
            context.flags |= Flags.low_delay
        self._context = context
        self._on_close = on_close
        self._nv12: npt.NDArray[np.uint8] | None = None
        self._numbers: list[int] = []

    def decode(self, data: bytes, number: int) -> Sequence[Surface]:
        """As `DecodeSession.decode`."""
        packet = Packet(data)
        packet.pts = packet.dts = number
        return self._shown(packet, number)

    def flush(self) -> Sequence[Surface]:
        """As `DecodeSession.flush`."""
        surfaces = self._shown(None, -1)
        self._context.flush_buffers()
        return surfaces

    def _shown(self, packet: Packet[Any] | None, number: int) -> Sequence[Surface]:
        try:
            frames = self._context.decode(packet)
        except (av.FFmpegError, ValueError, MemoryError) as exc:
            raise SourceError(f"the decoder failed: {reason_from_error(exc)}") from None
        if not frames:
            return ()
        frame = frames[-1]
        if frame.is_corrupt:
            raise SourceError("the decoder failed: parts are missing")
        planes = [np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
        width, height = frame.width, frame.height
        pitch, rows = width + width % 2, (height + 1) // 2
        nv12 = np.empty((height + rows, pitch), np.uint8)
        nv12[:height, :width] = planes[0][:height, :width]
        for first, plane in enumerate(planes[1:3]):
            nv12[height:, first::2] = plane[:rows, : pitch // 2]
        self._nv12 = nv12
        luma = int(nv12.ctypes.data)
        return (
            PlainSurface(
                luma=luma,
                chroma=luma + height * pitch,
                luma_pitch=pitch,
                chroma_pitch=pitch,
                size_wh=(width, height),
                number=number if frame.pts is None else frame.pts,
            ),
        )

    def close(self) -> None:
        """As `DecodeSession.close`."""
        self._nv12 = None
        self._on_close()


class StandInLane:
    """Everything happens at once, in the calling thread."""

    def __init__(self, device: StandIn) -> None:
        self._device = device

    def open_session(self, facts: StreamFacts) -> StandInSession:
        """As `GpuLane.open_session`; no more than the stand-in's limit are open at once."""
        self._device.count(1)
        return StandInSession(facts, lambda: self._device.count(-1))

    def copy_rows(self, target: int, target_pitch: int, source: int, source_pitch: int, width: int, rows: int) -> None:
        """As `GpuLane.copy_rows`."""
        for row in range(rows):
            ctypes.memmove(target + row * target_pitch, source + row * source_pitch, width)

    def letterbox(self, job: LetterboxJob) -> None:
        """As `GpuLane.letterbox`."""
        self._device.kernel(job)

    def fetch(self, target: int, source: int, size: int) -> None:
        """As `GpuLane.fetch`."""
        ctypes.memmove(target, source, size)

    def finish(self) -> None:
        """Nothing is under way."""


class StandIn:
    """The device. session_limit: how many sessions it opens, as a GPU has an end of them; None for no end.

    It may become another one at any time, as it does on a GPU that other programs use too.
    """

    def __init__(
        self, *, session_limit: int | Callable[[], int] | None = None, lacking: dict[str, str] | None = None
    ) -> None:
        """lacking: codecs that it does not decode, each with the reason."""
        self.name = "a stand-in on the CPU"
        self.kernel = compiled_kernel()
        self.session_limit = session_limit
        self._lacking = lacking or {}
        self._open = 0
        self._lock = threading.Lock()
        self._memory: dict[int, ctypes.Array[ctypes.c_ubyte]] = {}

    def count(self, change: int) -> None:
        """A session is opened or closed. Raises SessionLimitError."""
        with self._lock:
            limit = self.session_limit() if callable(self.session_limit) else self.session_limit
            if change > 0 and limit is not None and self._open >= limit:
                raise SessionLimitError(f"the GPU opens no more than {self._open} decoding sessions")
            self._open += change

    def lane(self) -> StandInLane:
        """As `GpuDevice.lane`."""
        return StandInLane(self)

    def lacks(self, facts: StreamFacts) -> str:
        """As `GpuDevice.lacks`."""
        return self._lacking.get(facts.codec, "")

    def allocate(self, size: int) -> int:
        """As `GpuDevice.allocate`."""
        memory = (ctypes.c_ubyte * size)()
        address = ctypes.addressof(memory)
        self._memory[address] = memory
        return address

    def free(self, address: int) -> None:
        """As `GpuDevice.free`."""
        del self._memory[address]

    def put(self, target: int, source: int, size: int) -> None:
        """As `GpuDevice.put`."""
        ctypes.memmove(target, source, size)

    def open_region(self, name: str) -> int:
        """As `GpuDevice.open_region`; the stand-in has no memory of a GPU that could be shared."""
        raise SourceError(f"{self.name} cannot open a GPU's memory")

    def close_region(self, address: int) -> None:
        """As `GpuDevice.close_region`."""
