"""One NVIDIA GPU as a decode process's device: PyNvVideoCodec decodes, the kernel letterboxes, all in one context."""

from __future__ import annotations

import ctypes
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from photofinish.client.cameras.decode.gpu.device import SessionLimitError, StreamFacts, Surface
from photofinish.client.cameras.decode.gpu.driver import ON_DEVICE, CopyPlane, Driver
from photofinish.client.cameras.decode.nv12.building import PTX
from photofinish.client.cameras.decode.nv12.job import LetterboxJob
from photofinish.client.triton.cuda_region import cuda_region_from_text
from photofinish.errors import ConfigError, SourceError, reason_from_error

REMEDY = "pip install 'photofinish[nvdec]'"
LIBRARIES = "in a container start with NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
_CODECS = {"h264": "H264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9"}
_LIMIT_WORDS = re.compile(r"cuvidCreateDecoder\b.*\berror 2\b|out[ _]of[ _]memory", re.IGNORECASE | re.DOTALL)
"""What PyNvVideoCodec says when a GPU opens no more sessions. Its other errors are one stream's, such as 801."""

_log = logging.getLogger(__name__)


def load_library() -> Any:
    """PyNvVideoCodec. Raises ConfigError that says how to get it."""
    try:
        import PyNvVideoCodec
    except ImportError as exc:
        raise ConfigError(f"decoding on the GPU needs PyNvVideoCodec: {REMEDY} ({exc})") from exc
    except (RuntimeError, OSError) as exc:  # the package is there, and libnvidia-encode or the driver is not
        reason = str(exc).strip().partition("\n")[0]
        raise ConfigError(f"PyNvVideoCodec does not find the driver's video libraries ({reason}); {LIBRARIES}") from exc
    return PyNvVideoCodec


class NvdecSession:
    """One stream's decoder. Packets go in by hand; NV12 stays on the GPU, in memory that the next `decode` reuses."""

    def __init__(self, library: Any, decoder: Any) -> None:
        self._packet = library.PacketData
        self._flags = library.VideoPacketFlag.ENDOFPICTURE, library.VideoPacketFlag.ENDOFSTREAM
        self._decoder = decoder
        self._has_decoded = False
        self._frames: Any = None

    def decode(self, data: bytes, number: int) -> Sequence[Surface]:
        """As `DecodeSession.decode`. SessionLimitError: the GPU has no session left, which the first picture shows."""
        packet = self._packet()
        packet.bsl_data = ctypes.c_void_p.from_buffer(ctypes.c_char_p(data)).value  # a third of what a cast costs
        packet.bsl = len(data)
        packet.pts = number
        packet.decode_flag = self._flags[0]
        return self._shown(packet)

    def flush(self) -> Sequence[Surface]:
        """As `DecodeSession.flush`: an empty packet at a stream's end, as the library's own demuxer gives one."""
        packet = self._packet()
        packet.bsl_data = packet.bsl = packet.pts = 0
        packet.decode_flag = self._flags[1]
        return self._shown(packet)

    def _shown(self, packet: Any) -> Sequence[Surface]:
        try:
            frames = self._decoder.Decode(packet)
        except Exception as exc:  # the library raises several kinds, of its own and of pybind
            words = reason_from_error(exc)
            # The reason stands on a later line than the function's name.
            if not self._has_decoded and _LIMIT_WORDS.search(str(exc)):
                raise SessionLimitError(f"the GPU opens no more decoding sessions ({words})") from exc
            raise SourceError(f"the GPU's decoder failed: {words}") from exc
        if frames:
            self._has_decoded = True
        self._frames = frames  # what surfaces are of
        return [NvdecSurface(frame) for frame in frames]

    def close(self) -> None:
        """The library frees a decoder with its last reference."""
        self._decoder = self._frames = None


class NvdecSurface:
    """A DecodedFrame's addresses, asked for with the first of them: four pictures in five are of no interest."""

    __slots__ = ("_frame", "_views", "number")

    def __init__(self, frame: Any) -> None:
        self.number: int = frame.getPTS()
        self._frame = frame
        self._views: Any = None

    @property
    def luma(self) -> int:
        """As `Surface.luma`."""
        return int(self._planes[0].dataptr)

    @property
    def chroma(self) -> int:
        """As `Surface.chroma`."""
        return int(self._planes[1].dataptr)

    @property
    def luma_pitch(self) -> int:
        """As `Surface.luma_pitch`."""
        return int(self._planes[0].stride[0])

    @property
    def chroma_pitch(self) -> int:
        """As `Surface.chroma_pitch`."""
        return int(self._planes[1].stride[0])

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self._planes[0].shape[:2]
        return width, height

    @property
    def _planes(self) -> Any:
        """Views of luma (height, width, 1) and chroma (height / 2, width / 2, 2)."""
        if self._views is None:
            self._views = self._frame.cuda()
        return self._views


class NvdecLane:
    """One thread's stream; decoders copy on it too, so that a picture is whole before anything behind it reads it."""

    def __init__(self, device: NvdecDevice, driver: Driver) -> None:
        driver.make_current()
        self._device = device
        self._driver = driver
        self._stream = driver.stream()

    def open_session(self, facts: StreamFacts) -> NvdecSession:
        """As `GpuLane.open_session`. LOW gives each picture at once, and is not for reordered ones."""
        library = self._device.library
        kinds = library.DisplayDecodeLatencyType
        self._driver.make_current()
        try:
            decoder = library.CreateDecoder(
                gpuid=self._device.device_id,
                codec=getattr(library.cudaVideoCodec, _CODECS[facts.codec]),
                cudacontext=self._driver.context,
                cudastream=self._stream,
                usedevicememory=True,
                outputColorType=library.OutputColorType.NATIVE,
                latency=kinds.NATIVE if facts.is_reordered else kinds.LOW,
            )
        except Exception as exc:  # the library raises several kinds, of its own and of pybind
            raise SourceError(f"the GPU's decoder cannot be opened: {reason_from_error(exc)}") from exc
        return NvdecSession(library, decoder)

    def copy_rows(self, target: int, target_pitch: int, source: int, source_pitch: int, width: int, rows: int) -> None:
        """As `GpuLane.copy_rows`."""
        plane = CopyPlane(
            source_type=ON_DEVICE,
            source_device=source,
            source_pitch=source_pitch,
            target_type=ON_DEVICE,
            target_device=target,
            target_pitch=target_pitch,
            width_bytes=width,
            height=rows,
        )
        self._driver.copy_plane(plane, self._stream)

    def letterbox(self, job: LetterboxJob) -> None:
        """As `GpuLane.letterbox`."""
        self._driver.letterbox(job, self._stream)

    def fetch(self, target: int, source: int, size: int) -> None:
        """As `GpuLane.fetch`."""
        self._driver.fetch(target, source, size, self._stream)

    def finish(self) -> None:
        """As `GpuLane.finish`."""
        self._driver.finish(self._stream)


class NvdecDevice:
    """The GPU of this number."""

    def __init__(self, device_id: int, library: Any = None, driver: Driver | None = None) -> None:
        """Raise ConfigError without PyNvVideoCodec, SourceError without a driver or such a GPU."""
        self.library = library or load_library()
        self.device_id = device_id
        self._driver = driver or Driver(device_id, PTX.read_text())
        self.name = f"GPU {device_id} ({self._driver.name})"
        self._capabilities: dict[str, Mapping[str, int]] = {}
        self._lock = threading.Lock()

    def lane(self) -> NvdecLane:
        """As `GpuDevice.lane`."""
        return NvdecLane(self, self._driver)

    def lacks(self, facts: StreamFacts) -> str:
        """As `GpuDevice.lacks`, for 8 bits in 4:2:0."""
        with self._lock:
            if facts.codec not in self._capabilities:
                self._capabilities[facts.codec] = self._ask(facts.codec)
            found = self._capabilities[facts.codec]
        if not found.get("num_decoder_engines", 0):
            return f"{self.name} decodes no {facts.codec}"
        width, height = facts.size_wh
        blocks = -(-width // 16) * -(-height // 16)
        if (
            not found["width_min"] <= width <= found["width_max"]
            or not found["height_min"] <= height <= found["height_max"]
            or blocks > found["mb_num_max"]
        ):
            return f"{self.name} decodes no {facts.codec} of {width} x {height}"
        return ""

    def _ask(self, codec: str) -> Mapping[str, int]:
        kind = getattr(self.library.cudaVideoCodec, _CODECS[codec])
        try:
            found: Mapping[str, int] = self.library.GetDecoderCaps(gpuid=self.device_id, codec=kind)
        except Exception as exc:  # the library raises several kinds, of its own and of pybind
            _log.warning("%s does not say what it decodes of %s: %s", self.name, codec, exc)
            return {}
        return found

    def allocate(self, size: int) -> int:
        """As `GpuDevice.allocate`."""
        return self._driver.allocate(size)

    def free(self, address: int) -> None:
        """As `GpuDevice.free`."""
        self._driver.free(address)

    def put(self, target: int, source: int, size: int) -> None:
        """As `GpuDevice.put`."""
        self._driver.put(target, source, size)

    def open_region(self, name: str) -> int:
        """As `GpuDevice.open_region`; the memory must lie on this GPU."""
        try:
            region = cuda_region_from_text(name)
        except ValueError as exc:
            raise SourceError(str(exc)) from exc
        if region.device_id != self.device_id:
            raise SourceError(f"the memory for pictures lies on GPU {region.device_id}, not on GPU {self.device_id}")
        return self._driver.open_shared(region.handle)

    def close_region(self, address: int) -> None:
        """As `GpuDevice.close_region`."""
        self._driver.close_shared(address)
