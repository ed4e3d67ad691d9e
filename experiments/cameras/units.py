"""What a GPU's decode process costs for each coded picture, when the GPU itself costs nothing but waiting.

    python -m experiments.cameras.units --cameras 84 --seconds 10 --decode-ms 4

A second process is in the place of ingest and sends 25 pictures a second of each camera; this one is the owner, and
wishes for each of the 5 that it is told of. PyNvVideoCodec and CUDA are stand-ins: `Decode` sleeps without the
interpreter's lock, CUDA's calls do nothing. So what the process spends is its own: sockets, threads, the lock's
exchange. Times are of the kernel's own account for each thread.

Backs: docs/decisions.md, "they hold the interpreter for part of each picture"
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from photofinish.client.cameras.decode.gpu.driver import Driver
from photofinish.client.cameras.decode.gpu.nvdec import NvdecDevice
from photofinish.client.cameras.decode.gpu.process import THREADS, GpuDecodeProcess
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.child import OWNER_SOCKET, decoder_socket, run_child
from photofinish.client.cameras.wire.link import Link, connect, listen
from photofinish.client.cameras.wire.messages import DecodeCamera, DecodeReport, FrameWritten, OpenStream, WriteFrame
from photofinish.client.triton.cuda_region import CudaRegionName
from photofinish.percentiles import nearest_rank

SIZE_WH, INPUT_WH = (1280, 720), (640, 384)
SENT_FPS, WANTED_FPS = 25.0, 5.0
PICTURE_BYTES, KEYFRAME_BYTES, KEYFRAME_EVERY = 9_000, 60_000, 50
OPTIONS = "PHOTOFINISH_EXPERIMENT_UNITS"
"""Environment variable: this run's options, for the two other processes."""
REGION = str(CudaRegionName(device_id=0, handle=b"", byte_size=0, name="units"))


VIEWS = (
    SimpleNamespace(dataptr=4096, shape=(720, 1280, 1), stride=(1280, 1, 1)),
    SimpleNamespace(dataptr=925696, shape=(360, 640, 2), stride=(1280, 2, 1)),
)
"""Of luma and chroma, always the same."""


class Packet:
    """PacketData."""

    __slots__ = ("bsl", "bsl_data", "decode_flag", "pts")


class IdleFrame:
    """DecodedFrame."""

    __slots__ = ("_pts",)

    def __init__(self, pts: int) -> None:
        self._pts = pts

    def cuda(self) -> tuple[Any, ...]:
        """Views of luma and chroma."""
        return VIEWS

    def getPTS(self) -> int:  # noqa: N802
        """The number that the packet had."""
        return self._pts


class IdleDecoder:
    """A decoder that only waits, without the interpreter's lock as PyNvVideoCodec's does."""

    def __init__(self, decode_s: float) -> None:
        self._decode_s = decode_s

    def Decode(self, packet: Any) -> list[IdleFrame]:  # noqa: N802
        """One picture for each packet."""
        time.sleep(self._decode_s)
        return [IdleFrame(packet.pts)]


class IdleLibrary:
    """PyNvVideoCodec, as far as it is used."""

    PacketData = Packet
    VideoPacketFlag = SimpleNamespace(ENDOFPICTURE=8, ENDOFSTREAM=1)
    DisplayDecodeLatencyType = SimpleNamespace(NATIVE=0, LOW=1)
    OutputColorType = SimpleNamespace(NATIVE=0)
    cudaVideoCodec = SimpleNamespace(H264=0, HEVC=1, AV1=2, VP9=3)  # noqa: N815

    def __init__(self, decode_s: float) -> None:
        self._decode_s = decode_s

    def CreateDecoder(self, **options: Any) -> IdleDecoder:  # noqa: N802
        """A decoder."""
        return IdleDecoder(self._decode_s)

    def GetDecoderCaps(self, **options: Any) -> dict[str, int]:  # noqa: N802
        """It takes everything."""
        most = {"width_max": 4096, "height_max": 4096, "mb_num_max": 65536}
        return {"num_decoder_engines": 1, "width_min": 16, "height_min": 16, **most}


class IdleCuda:
    """libcuda: each call goes by ctypes, as the real ones do, to a function that only answers 0."""

    def __init__(self) -> None:
        self._nothing = ctypes.CDLL("libm.so.6").fegetround

    def __getattr__(self, name: str) -> Any:
        """Any of its functions."""
        return self._nothing


def keyframe() -> bytes:
    """A grey picture, since the first one of each camera is looked at by FFmpeg; filled up behind its end."""
    encoder = VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height = SIZE_WH
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(25), Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    grey = av.VideoFrame.from_ndarray(np.full((SIZE_WH[1], SIZE_WH[0], 3), 114, np.uint8), format="bgr24")
    coded = b"".join(bytes(packet) for packet in [*encoder.encode(grey.reformat(format="yuv420p")), *encoder.encode()])
    return coded.ljust(KEYFRAME_BYTES, b"\0")


async def feed(folder: Path, number: int) -> None:
    """Be ingest: send each camera's pictures at their times. Late ones are sent at once."""
    options = json.loads(os.environ[OPTIONS])
    names: list[str] = options["names"]
    pictures = [keyframe(), *[bytes(PICTURE_BYTES)] * (KEYFRAME_EVERY - 1)]
    link = await connect(folder / decoder_socket(0), lambda link, value: None, lambda link: os._exit(0))
    for name in names:
        link.send(OpenStream(camera=name, connection=1, info=StreamInfo(codec="h264")))
    period_ns = 1e9 / (SENT_FPS * len(names))
    began_ns, count = time.perf_counter_ns(), 0
    while True:
        now_ns = time.perf_counter_ns()
        while (due_ns := began_ns + int(count * period_ns)) <= now_ns:
            turn, at = divmod(count, len(names))
            place = (turn + at) % KEYFRAME_EVERY
            link.send(
                AccessUnit(
                    camera=names[at],
                    connection=1,
                    data=pictures[place],
                    captured_ns=due_ns,
                    arrived_ns=now_ns,
                    clock="rtcp",
                    is_keyframe=place == 0,
                )
            )
            count += 1
        await asyncio.sleep(0.001)


async def decode(folder: Path, number: int) -> None:
    """Be the decode process."""
    options = json.loads(os.environ[OPTIONS])
    if options["switch_ms"]:
        sys.setswitchinterval(options["switch_ms"] / 1e3)
    device = NvdecDevice(0, IdleLibrary(options["decode_ms"] / 1e3), Driver(0, "", IdleCuda()))
    await GpuDecodeProcess(folder, device, options["threads"]).run(number)


class WishingOwner:
    """The owner: it wishes for each picture that it hears of."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.reports: dict[str, DecodeReport] = {}
        self.late_ns: list[int] = []
        self.written = 0
        self.reported = asyncio.Event()

    def hear(self, link: Link, value: Any) -> None:
        """What the decode process tells."""
        self.link = link
        if isinstance(value, DueFrame):
            self.late_ns.append(value.decoded_ns - value.arrived_ns)
            link.send(
                WriteFrame(
                    request=value.sequence,
                    camera=value.camera,
                    region=REGION,
                    shape=(8, *INPUT_WH[::-1], 3),
                    datatype="uint8",
                    position=0,
                    contract="frames",
                    input_wh=INPUT_WH,
                )
            )
        elif isinstance(value, FrameWritten):
            self.written += 1
        elif isinstance(value, tuple):
            self.reports.update((report.camera, report) for report in value)
            self.reported.set()

    async def units(self) -> int:
        """How many units were decoded, as the next reports say."""
        self.reported.clear()
        await self.reported.wait()
        await asyncio.sleep(0.2)
        return sum(report.decoded for report in self.reports.values())


def costs_of(pid: int) -> tuple[float, float, float, int]:
    """Seconds that its first thread, the others, and the kernel for them ran, and how often all slept."""
    first = others = 0.0
    slept = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent = int((task / "schedstat").read_text().split()[0]) / 1e9
        if task.name == str(pid):
            first = spent
        else:
            others += spent
        words = (task / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split()
        slept += int(words[0])
    in_kernel = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[12]) / os.sysconf("SC_CLK_TCK")
    return first, others, in_kernel, slept


def started(role: str, folder: Path, number: int, options: dict[str, Any]) -> subprocess.Popen[bytes]:
    """One of the two other processes."""
    command = [sys.executable, "-m", "experiments.cameras.units", str(folder), str(number), role]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, OPTIONS: json.dumps(options)})


async def figures(options: argparse.Namespace) -> dict[str, Any]:
    """What a decode process took for each unit."""
    owner = WishingOwner()
    names = [f"cam-{number:04d}" for number in range(options.cameras)]
    told = {**vars(options), "names": names}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        async with await listen(folder / OWNER_SOCKET, owner.hear, lambda link: None):
            decoding = started("decode", folder, 0, told)
            while owner.link is None or not (folder / decoder_socket(0)).exists():
                await asyncio.sleep(0.01)
                if owner.link is None and decoding.poll() is not None:
                    raise SystemExit("the decode process ended")
            for name in names:
                owner.link.send(DecodeCamera(camera=name, frames_per_s=WANTED_FPS))
            feeding = started("feed", folder, 0, told)
            await asyncio.sleep(options.warm)
            before, costs, began_s = await owner.units(), costs_of(decoding.pid), time.monotonic()
            owner.late_ns.clear()
            written = owner.written
            await asyncio.sleep(options.seconds)
            count, after, passed_s = await owner.units() - before, costs_of(decoding.pid), time.monotonic() - began_s
            for process in (feeding, decoding):
                process.kill()
                process.wait()
    loop_s, others_s, kernel_s, slept = (now - then for now, then in zip(after, costs, strict=True))
    late_ns = np.array(owner.late_ns or [0], np.int64)
    return {
        "cameras": options.cameras,
        "units_per_s": round(count / passed_s),
        "us_a_unit": round((loop_s + others_s) * 1e6 / count, 1),
        "us_in_the_loop": round(loop_s * 1e6 / count, 1),
        "us_in_workers": round(others_s * 1e6 / count, 1),
        "us_in_the_kernel": round(kernel_s * 1e6 / count, 1),
        "cores": round((loop_s + others_s) / passed_s, 2),
        "sleeps_a_unit": round(slept / count, 2),
        "written_per_s": round((owner.written - written) / passed_s),
        "late_units": sum(report.late for report in owner.reports.values()),
        "p50_ms": round(nearest_rank(late_ns, 0.5) / 1e6, 1),
        "p99_ms": round(nearest_rank(late_ns, 0.99) / 1e6, 1),
    }


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="What a GPU's decode process costs for each coded picture.")
    parser.add_argument("--cameras", type=int, default=84)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--decode-ms", type=float, default=4.0, help="How long Decode sleeps.")
    parser.add_argument("--switch-ms", type=float, default=0.0, help="The interpreter's switch interval.")
    parser.add_argument("--warm", type=float, default=6.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    sys.stdout.write(json.dumps(asyncio.run(figures(parser.parse_args()))) + "\n")


if __name__ == "__main__":
    roles = {"decode": decode, "feed": feed}
    if len(sys.argv) > 3 and sys.argv[3] in roles:
        run_child(roles[sys.argv[3]])
    else:
        main()
