"""What CUDA's driver and PyNvVideoCodec are asked for, by stand-ins that have their functions."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from photofinish.client.cameras.decode.gpu.device import DeviceLostError, SessionLimitError, StreamFacts
from photofinish.client.cameras.decode.gpu.driver import CopyPlane, Driver
from photofinish.client.cameras.decode.gpu.nvdec import NvdecDevice, load_library
from photofinish.client.cameras.decode.nv12.job import Colours, LetterboxJob, job_from_picture
from photofinish.client.triton.cuda_region import CudaRegionName
from photofinish.errors import ConfigError, SourceError
from photofinish.letterbox import Letterbox

FACTS = StreamFacts(codec="h264", size_wh=(1280, 720))
JOB_BYTES = ctypes.sizeof(LetterboxJob)
CAPS = {
    "num_decoder_engines": 7,
    "width_min": 48,
    "width_max": 4096,
    "height_min": 16,
    "height_max": 4096,
    "mb_num_max": 65536,
}


class FakeCuda:
    """libcuda's functions. calls: their names; fails: those that do not succeed."""

    def __init__(self) -> None:
        self.code = 2
        self.calls: list[str] = []
        self.fails: set[str] = set()
        self.launched: list[LetterboxJob] = []
        self.grids: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name in self.fails:
                return self.code
            if name == "cuDeviceGetName":
                arguments[0].value = b"NVIDIA Test"
            elif name == "cuLaunchKernel":
                self.grids.append(tuple(value.value for value in arguments[1:7]))
                self.launched.append(LetterboxJob.from_buffer_copy(ctypes.string_at(arguments[9][0], JOB_BYTES)))
            elif name in ("cuDevicePrimaryCtxRetain", "cuMemAlloc_v2", "cuIpcOpenMemHandle_v2", "cuStreamCreate"):
                arguments[0]._obj.value = len(self.calls)
            elif name == "cuGetErrorString":
                arguments[1]._obj.value = b"out of memory"
            return 0

        return call


class FakeDecoder:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.packets: list[tuple[bytes, int, int]] = []
        self.failure: Exception | None = None
        self.asked = 0

    def Decode(self, packet: Any) -> list[Any]:  # noqa: N802
        if self.failure is not None:
            raise self.failure
        self.packets.append((ctypes.string_at(packet.bsl_data, packet.bsl), packet.pts, packet.decode_flag))
        luma = SimpleNamespace(dataptr=4096, shape=[720, 1280, 1], stride=[1280, 1, 1])
        chroma = SimpleNamespace(dataptr=4096 + 1280 * 720, shape=[360, 640, 2], stride=[1280, 2, 1])

        def cuda() -> list[Any]:
            self.asked += 1
            return [luma, chroma]

        return [SimpleNamespace(cuda=cuda, getPTS=lambda: packet.pts)]


class FakeLibrary:
    """PyNvVideoCodec, as far as it is used. Its enumerations are numbers."""

    PacketData = SimpleNamespace
    VideoPacketFlag = SimpleNamespace(ENDOFPICTURE=8, ENDOFSTREAM=1)
    DisplayDecodeLatencyType = SimpleNamespace(NATIVE="native", LOW="low")
    OutputColorType = SimpleNamespace(NATIVE="nv12")
    cudaVideoCodec = SimpleNamespace(H264="h264", HEVC="hevc", AV1="av1", VP9="vp9")  # noqa: N815

    def __init__(self, caps: dict[str, int] | None = None) -> None:
        self.caps = CAPS if caps is None else caps
        self.decoders: list[FakeDecoder] = []

    def CreateDecoder(self, **options: Any) -> FakeDecoder:  # noqa: N802
        self.decoders.append(FakeDecoder(options))
        return self.decoders[-1]

    def GetDecoderCaps(self, **options: Any) -> dict[str, int]:  # noqa: N802
        return self.caps


def device(cuda: FakeCuda | None = None, library: FakeLibrary | None = None) -> NvdecDevice:
    return NvdecDevice(1, library or FakeLibrary(), Driver(1, "ptx", cuda or FakeCuda()))


@pytest.mark.parametrize(("is_reordered", "latency"), [(False, "low"), (True, "native")])
def test_a_session_is_made_in_the_lanes_context_and_stream(is_reordered: bool, latency: str) -> None:
    library = FakeLibrary()
    gpu = device(library=library)
    assert gpu.name == "GPU 1 (NVIDIA Test)"
    session = gpu.lane().open_session(StreamFacts(codec="h264", size_wh=(1280, 720), is_reordered=is_reordered))
    (surface,) = session.decode(b"coded", 17)
    assert (surface.number, library.decoders[0].asked) == (17, 0), "nobody wants its addresses yet"
    options = library.decoders[0].options
    assert options["latency"] == latency
    assert (options["gpuid"], options["codec"], options["usedevicememory"]) == (1, "h264", True)
    assert options["cudacontext"] > 0
    assert options["cudastream"] > 0
    assert library.decoders[0].packets == [(b"coded", 17, 8)]
    assert (surface.luma, surface.chroma, surface.luma_pitch, surface.chroma_pitch) == (4096, 925696, 1280, 1280)
    assert (surface.size_wh, library.decoders[0].asked) == ((1280, 720), 1)
    session.flush()
    assert library.decoders[0].packets[1:] == [(b"", 0, 1)]


@pytest.mark.parametrize(
    ("words", "is_limit"),
    [
        ("m_api.cuvidCreateDecoder(&m_hDecoder, &videoDecodeCreateInfo) returned error 2 at NvDecoder.cpp:512", True),
        ("CUDA error: CUDA_ERROR_OUT_OF_MEMORY", True),
        ("m_api.cuvidCreateDecoder(&m_hDecoder, &videoDecodeCreateInfo) returned error 801", False),
        ("m_api.cuvidCreateDecoder(&m_hDecoder, &videoDecodeCreateInfo) returned error 201", False),
        ("Codec not supported on this GPU", False),
    ],
)
def test_a_stream_that_the_gpu_does_not_take_is_no_end_of_sessions(words: str, is_limit: bool) -> None:
    """Otherwise one odd camera would send all others to the CPU."""
    library = FakeLibrary()
    session = device(library=library).lane().open_session(FACTS)
    library.decoders[0].failure = RuntimeError(words)
    with pytest.raises(SourceError) as failure:
        session.decode(b"x", 0)
    assert isinstance(failure.value, SessionLimitError) == is_limit


def test_a_gpu_that_is_lost_is_nothing_that_a_camera_may_catch() -> None:
    cuda = FakeCuda()
    gpu = device(cuda)
    lane = gpu.lane()
    cuda.fails.add("cuStreamSynchronize")
    with pytest.raises(SourceError):
        lane.finish()
    cuda.code = 700
    with pytest.raises(DeviceLostError, match=r"cuStreamSynchronize: out of memory \(700\)"):
        lane.finish()
    assert not issubclass(DeviceLostError, SourceError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("No module named 'PyNvVideoCodec'"), r"pip install 'photofinish\[nvdec\]'"),
        (RuntimeError("libnvidia-encode.so.1: cannot open\n\n=== TROUBLESHOOTING"), "NVIDIA_DRIVER_CAPABILITIES="),
    ],
)
def test_a_library_that_cannot_be_loaded_says_what_to_do(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package itself raises RuntimeError where the driver's video libraries are not there, as in a container."""

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "PyNvVideoCodec":
                raise error

    monkeypatch.setattr("sys.meta_path", [Finder(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "PyNvVideoCodec", raising=False)
    with pytest.raises(ConfigError, match=words) as failure:
        load_library()
    assert "TROUBLESHOOTING" not in str(failure.value)


def test_the_last_session_shows_at_its_first_picture_and_later_failures_are_others() -> None:
    library = FakeLibrary()
    lane = device(library=library).lane()
    words = (
        "HandleVideoSequence : \nError code : 2\nError Type : m_api.cuvidCreateDecoder(&m_hDecoder, …) returned error 2"
    )
    first, second = lane.open_session(FACTS), lane.open_session(FACTS)
    first.decode(b"x", 1)
    for decoder in library.decoders:
        decoder.failure = RuntimeError(words)
    with pytest.raises(SessionLimitError, match="no more decoding sessions"):
        second.decode(b"x", 0)
    with pytest.raises(SourceError, match="the GPU's decoder failed") as failure:
        first.decode(b"x", 2)
    assert not isinstance(failure.value, SessionLimitError)


@pytest.mark.parametrize(
    ("caps", "size_wh", "words"),
    [
        (CAPS, (1280, 720), ""),
        (CAPS, (8192, 4320), "decodes no h264 of 8192 x 4320"),
        ({**CAPS, "mb_num_max": 100}, (1280, 720), "decodes no h264 of 1280 x 720"),
        ({**CAPS, "num_decoder_engines": 0}, (1280, 720), "decodes no h264"),
        ({}, (1280, 720), "decodes no h264"),
    ],
)
def test_what_the_chip_cannot_decode_is_said(caps: dict[str, int], size_wh: tuple[int, int], words: str) -> None:
    lack = device(library=FakeLibrary(caps)).lacks(StreamFacts(codec="h264", size_wh=size_wh))
    assert lack.endswith(words)
    assert bool(lack) == bool(words)


def test_the_kernel_gets_its_argument_and_covers_the_target() -> None:
    cuda = FakeCuda()
    lane = device(cuda).lane()
    letterbox = Letterbox(source_wh=(1280, 720), target_wh=(333, 201))
    lane.letterbox(job_from_picture(letterbox, Colours(), luma=11, chroma=12, out=13))
    (job,) = cuda.launched
    assert (job.luma, job.chroma, job.out, job.target_width, job.target_height) == (11, 12, 13, 333, 201)
    assert cuda.grids == [(11, 26, 1, 32, 8, 1)]
    lane.copy_rows(1, 2, 3, 4, 5, 6)
    lane.finish()
    assert cuda.calls[-2:] == ["cuMemcpy2DAsync_v2", "cuStreamSynchronize"]
    assert ctypes.sizeof(CopyPlane) == 128, "CUDA_MEMCPY2D"


def test_memory_of_another_gpu_is_refused() -> None:
    cuda = FakeCuda()
    gpu = device(cuda)
    name = CudaRegionName(device_id=1, handle=b"h" * 64, byte_size=10, name="r")
    assert gpu.open_region(str(name)) > 0
    other = CudaRegionName(device_id=0, handle=b"h" * 64, byte_size=10, name="r")
    with pytest.raises(SourceError, match="lies on GPU 0, not on GPU 1"):
        gpu.open_region(str(other))
    with pytest.raises(SourceError, match="device/size/name/handle"):
        gpu.open_region("1/2/3")


def test_waiting_threads_sleep_and_stacks_are_small() -> None:
    cuda = FakeCuda()
    cuda.fails = {"cuDevicePrimaryCtxSetFlags_v2", "cuCtxSetLimit"}  # which is no reason to give up
    device(cuda=cuda)
    assert cuda.calls.index("cuDevicePrimaryCtxSetFlags_v2") < cuda.calls.index("cuDevicePrimaryCtxRetain")
    assert cuda.calls.index("cuCtxSetLimit") > cuda.calls.index("cuCtxSetCurrent")


def test_a_failure_of_cuda_says_what_failed() -> None:
    cuda = FakeCuda()
    gpu = device(cuda)
    cuda.fails.add("cuMemAlloc_v2")
    with pytest.raises(SourceError, match=r"the GPU failed: cuMemAlloc_v2: out of memory \(2\)"):
        gpu.allocate(10)


def test_without_a_driver_or_the_library_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((ConfigError, SourceError), match=r"photofinish\[nvdec\]|photofinish doctor"):
        NvdecDevice(0)
