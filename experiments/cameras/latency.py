"""From capture to boxes on loopback at 25 and at 5 frames a second, and what the demuxer adds.

    chrt -r 10 python -m experiments.cameras.latency

First the readers alone: pictures of a stream are sent, and come out of our own RTSP reader and of FFmpeg's by PyAV; the
age of each is from the moment at which it was sent. Then the whole way: `photofinish cameras run` on test streams, and
the latencies that it tells. FFmpeg tells no capture times, so of the whole way only ours is measured.

Backs: docs/cameras.md, "FFmpeg's demuxer adds one frame interval"
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cameras.running import (
    HeardFrame,
    RunningCameras,
    end_with_sigterm,
    export_model,
    raise_priority,
    say,
    scheduling,
    write_list,
)
from photofinish.client.cameras.ingest.figures import IngestError
from photofinish.client.cameras.ingest.library_reader import read_by_library
from photofinish.client.cameras.ingest.rtsp_reader import read_rtsp
from photofinish.client.cameras.rtsp.nal import nal_units
from photofinish.client.cameras.streams.clip import Clip, clip_from_source, synthetic_spec
from photofinish.client.cameras.streams.launch import StreamProcesses
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import TestStream
from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.percentiles import carried_percentile
from photofinish.perf.record.environment import runtime_fingerprint, utc_now

RATES = (25.0, 5.0)
SIZE_WH = (640, 360)
SETTLE_S = 5.0


@dataclass(slots=True, kw_only=True)
class TimedStream(TestStream):
    """A stream that remembers when each picture went out. One watcher at a time."""

    sent_ns: list[int] = field(default_factory=list)

    def note_sent(self, late_ns: int) -> None:
        """It goes out now."""
        TestStream.note_sent(self, late_ns)
        self.sent_ns.append(time.perf_counter_ns())


class PictureArrivals:
    """A StreamListener that keeps when each picture came, and which of the clip it was."""

    def __init__(self, clip: Clip) -> None:
        self.came: list[tuple[int, int]] = []
        self._index_of = {picture.payloads[-1][-40:]: index for index, picture in enumerate(clip.pictures)}

    def on_line(self, line: str) -> None:
        """Nobody reads it."""

    def on_stream(self, info: StreamInfo) -> None:
        """It plays."""

    def on_picture(self, data: bytes, *, arrived_ns: int, **rest: object) -> None:
        """A picture came."""
        *_, last = nal_units(data)
        index = self._index_of.get(last[-40:])
        if index is not None:
            self.came.append((index, arrived_ns))

    def on_transport(self, lost_packets: int, offset_ms: float | None) -> None:
        """Nothing is lost on loopback."""

    def ages_ns(self, sent_ns: list[int], count: int) -> list[int]:
        """Of each picture, from the newest time at which it was sent. count: pictures of the clip."""
        found = []
        for index, arrived_ns in self.came:
            times = [at for at in sent_ns[index::count] if at <= arrived_ns]
            if times:
                found.append(arrived_ns - times[-1])
        return found


@contextlib.contextmanager
def served(stream: TestStream) -> Iterator[str]:
    """The address of the stream, which a thread of its own serves."""
    loop = asyncio.new_event_loop()
    server = StreamServer({"cam": stream})
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(5)
    try:
        yield server.url("cam")
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def figures(values_ms: list[float]) -> dict[str, Any]:
    """Percentiles where there are enough values, and the values."""
    values = np.array(values_ms, dtype=np.float64)
    shares = {f"p{round(share * 100)}_ms": carried_percentile(values, share) for share in (0.5, 0.95, 0.99)}
    return {
        "count": len(values_ms),
        **{name: None if value is None else round(value, 2) for name, value in shares.items()},
        "values_ms": [round(value, 2) for value in values_ms],
    }


def reader_ages(reader: str, fps: float, seconds: float) -> dict[str, Any]:
    """How old pictures are when they come out of a reader."""
    clip = clip_from_source(synthetic_spec(1, SIZE_WH, fps), size_wh=SIZE_WH, frames_per_s=fps, seconds=8.0)
    stream = TimedStream(clip=clip, frames_per_s=fps)
    arrivals = PictureArrivals(clip)
    with served(stream) as url:
        camera = Camera(name="cam", url=url)

        async def read() -> None:
            reading = (
                read_rtsp(camera, arrivals) if reader == "ours" else read_by_library(camera, arrivals, use_udp=False)
            )
            with contextlib.suppress(asyncio.TimeoutError, IngestError):
                await asyncio.wait_for(reading, seconds + SETTLE_S)

        begun_ns = time.perf_counter_ns()
        asyncio.run(read())
    arrivals.came = [(index, at) for index, at in arrivals.came if at - begun_ns > SETTLE_S * 1e9]
    ages = arrivals.ages_ns(stream.sent_ns, len(clip.pictures))
    return {"reader": reader, "fps": fps, **figures([age / 1e6 for age in ages])}


async def whole_way(options: argparse.Namespace, folder: Path, repository: Path, fps: float) -> dict[str, Any]:
    """Latencies of `photofinish cameras run`, of all cameras together, and how late the streams were."""
    cameras, heard = folder / f"cameras-{fps:g}.toml", list[HeardFrame]()
    hear: Callable[[HeardFrame], None] = heard.append
    async with StreamProcesses(options.cameras, size_wh=SIZE_WH, frames_per_s=fps) as streams:
        raise_priority(streams.pids)
        write_list(cameras, streams.cameras(fps))
        words = [str(cameras), "--repository", str(repository), "--no-page", "--status-port", "0"]
        running = RunningCameras(words, folder / f"cameras-{fps:g}.log", hear)
        await asyncio.to_thread(running.__enter__)
        try:
            while len(heard) < 20 * options.cameras:
                await asyncio.sleep(0.2)
            await asyncio.sleep(SETTLE_S)
            await streams.begin_window()
            begun_s = time.monotonic()
            await asyncio.sleep(options.seconds)
            status = await asyncio.to_thread(running.status)
            frames = [frame.latency_ms for frame in list(heard) if frame.at_s >= begun_s]
            await streams.report()
        finally:
            await asyncio.to_thread(running.stop)
    return {
        "fps": fps,
        "cameras": options.cameras,
        "clocks": sorted({row["ingest"]["clock"] for row in status["cameras"]}),
        "late_p99_ms": streams.late_p99_ms[0],
        "late_max_ms": streams.late_max_ms[0],
        **figures(frames),
    }


def main() -> int:
    """Measure; write the record, print what matters of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=140.0, help="of each part; P99 needs 662 pictures")
    parser.add_argument("--cameras", type=int, default=2, help="of the whole way")
    parser.add_argument("--variant", default="openvino_fp32")
    parser.add_argument("--input-size", type=int, default=192)
    parser.add_argument("--out", type=Path, default=Path(".photofinish/cameras_latency.json"))
    options = parser.parse_args()
    end_with_sigterm()
    folder = Path(tempfile.mkdtemp(prefix="photofinish-cameras-"))
    document: dict[str, Any] = {
        "created_utc": utc_now(),
        "scheduling": scheduling(),
        "environment": runtime_fingerprint(None),
        "variant": options.variant,
        "input_size": options.input_size,
        "size_wh": SIZE_WH,
        "readers": [],
        "whole": [],
    }
    for fps in RATES:
        for reader in ("ours", "PyAV"):
            document["readers"].append(reader_ages(reader, fps, options.seconds))
            say(_line(document["readers"][-1]))
    repository = export_model(folder, variant=options.variant, input_size=options.input_size)
    for fps in RATES:
        document["whole"].append(asyncio.run(whole_way(options, folder, repository, fps)))
        say(_line(document["whole"][-1]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    say(f"wrote {options.out}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _line(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if name != "values_ms")


if __name__ == "__main__":
    sys.exit(main())
