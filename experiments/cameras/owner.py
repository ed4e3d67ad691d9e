"""What the owner of a cell costs alone: pictures come from a decoder that only waits, answers from a pause.

    python -m experiments.cameras.owner --cameras 500 --seconds 20

One process is in the decode process's place: it tells of a picture of each camera at its rate, and answers at once that
it was written. The server is a pause. So what the owner's thread spends is its own: account, schedule, messages, boxes.

Backs: docs/decisions.md, "its thread is the end of what one cell serves"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.cameras.supervise import model_service, processes
from photofinish.client.cameras.supervise.cell import CameraCell
from photofinish.client.cameras.supervise.gpus import DecodePlan
from photofinish.client.cameras.supervise.model_service import ModelService, ServerAddress
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame, Inferred
from photofinish.client.cameras.values.status import IngestPhase, IngestReport
from photofinish.client.cameras.wire.child import greet_owner, run_child
from photofinish.client.cameras.wire.link import Link
from photofinish.client.cameras.wire.messages import DecodeCamera, DecodeReport, FrameWritten, WriteFrame
from photofinish.client.native.library import native_client
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard

SIZE_WH, INPUT_WH = (1280, 720), (640, 384)
BOXES = 5
ANSWER_S = 0.004
"""A batch of eight at an engine on a GPU."""
LETTERBOX = Letterbox(source_wh=SIZE_WH, target_wh=INPUT_WH)
CARD = ModelCard(
    variant="toy_trt_fp16",
    model="toy",
    backend="tensorrt",
    precision="fp16",
    contract="frames",
    role="optimised",
    head="rows",
    nms="none",
    input_wh=INPUT_WH,
    class_names=("car", "bus"),
    weights="toy.pt",
    weights_sha256="0" * 64,
    device="cuda",
)


class PausingSession:
    """A Session whose server is a pause."""

    batch_size = 8

    def __init__(self) -> None:
        self._rows = np.zeros((self.batch_size, 300, 6), np.float32)
        self._rows[:, :BOXES] = (100, 100, 200, 200, 0.9, 1)
        self._pool = ThreadPoolExecutor(model_service.SLOTS["cuda"])

    def acquire(self, timeout_s: float) -> SimpleNamespace:
        """A slot whose memory nobody writes."""
        return SimpleNamespace(direct="0/0/0", on_device="", input_array=np.zeros((8, *INPUT_WH[::-1], 3), np.uint8))

    def submit(self, slot: object, count: int) -> Future[npt.NDArray[np.float32]]:
        """The same boxes, after a pause."""
        return self._pool.submit(self._answer, count)

    def _answer(self, count: int) -> npt.NDArray[np.float32]:
        time.sleep(ANSWER_S)
        return self._rows[:count]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class Feeder:
    """The decoder that only waits."""

    def __init__(self) -> None:
        self._held: dict[str, DueFrame] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def hear(self, link: Link, value: Any) -> None:
        """What the owner wants."""
        if isinstance(value, DecodeCamera) and value.camera not in self._tasks:
            self._tasks[value.camera] = asyncio.ensure_future(self._send(link, value))
        elif isinstance(value, WriteFrame):
            link.send(
                FrameWritten(
                    request=value.request,
                    camera=value.camera,
                    frame=self._held.get(value.camera),
                    letterbox=LETTERBOX,
                )
            )

    async def _send(self, link: Link, wish: DecodeCamera) -> None:
        period_ns = round(1e9 / wish.frames_per_s)
        at_ns = wish.anchor_ns
        sequence = 0
        while True:
            now_ns = time.perf_counter_ns()
            at_ns += max((now_ns - at_ns) // period_ns, 0) * period_ns + period_ns
            await asyncio.sleep((at_ns - now_ns) / 1e9)
            now_ns = time.perf_counter_ns()
            sequence += 1
            frame = DueFrame(
                camera=wish.camera,
                sequence=sequence,
                captured_ns=now_ns,
                arrived_ns=now_ns,
                decoded_ns=now_ns,
                clock="rtcp",
                size_wh=SIZE_WH,
                connection=1,
            )
            self._held[wish.camera] = frame
            link.send(frame)

    def reports(self) -> tuple[DecodeReport, ...]:
        """As a decode process tells them once a second."""
        return tuple(DecodeReport(camera=name, state="ok", size_wh=SIZE_WH) for name in self._held)

    def ingest_reports(self) -> tuple[IngestReport, ...]:
        """As ingest tells them once a second."""
        return tuple(IngestReport(camera=name, phase=IngestPhase.PLAYING, connections=1) for name in self._held)


async def feed(folder: Path, number: int) -> None:
    """Be the decode process; in the place of others, which are not needed, be nothing."""
    if len(sys.argv) < 4:
        await asyncio.Event().wait()
    feeder = Feeder()
    link = await greet_owner(folder, "decode", number, feeder.hear)
    while True:
        await asyncio.sleep(1)
        link.send(feeder.reports())
        link.send(feeder.ingest_reports())


async def owner_figures(cameras: int, frames_per_s: float, warm_s: float, seconds: float) -> dict[str, Any]:
    """Run a cell of so many cameras; what its thread took for each frame."""
    inferred = 0

    class Counting:
        name, lost = "count", 0

        def on_inferred(self, result: Inferred) -> None:
            nonlocal inferred
            inferred += 1

        def on_status(self, status: object) -> None: ...

        def close(self) -> None: ...

    with tempfile.TemporaryDirectory() as folder:
        plan = DecodePlan(devices=("waits",), sentence="a decoder that only waits", numbers=(0,))
        cell = CameraCell(
            ServerAddress(grpc_url="nowhere"), outputs=[Counting()], decoding=plan, log_folder=Path(folder)
        )
        for number in range(cameras):
            cell.add(Camera(name=f"cam-{number:04d}", url="rtsp://nowhere", frames_per_s=frames_per_s))
        async with cell:
            await asyncio.sleep(warm_s)
            before, cpu_s, began_s, switched = inferred, time.thread_time(), time.monotonic(), _due(cell)
            await asyncio.sleep(seconds)
            count, took_s, passed_s = inferred - before, time.thread_time() - cpu_s, time.monotonic() - began_s
            due = _due(cell) - switched
            latencies = sorted(row.p50_ms for row in cell.status().cameras if row.p50_ms is not None)
    return {
        "cameras": cameras,
        "frames_per_s": round(count / passed_s, 1),
        "due_per_s": round(due / passed_s, 1),
        "owner_us_a_frame": round(took_s * 1e6 / max(count, 1), 1),
        "owner_share_of_a_core": round(took_s / passed_s, 3),
        "p50_ms": latencies[len(latencies) // 2] if latencies else None,
        "threads": threading.active_count(),
    }


def _due(cell: CameraCell) -> int:
    return sum(row.count.due for row in cell.status().cameras)


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="What the owner of a cell costs for each frame.")
    parser.add_argument("--cameras", type=int, default=500)
    parser.add_argument("--frames-per-s", type=float, default=5.0)
    parser.add_argument("--warm", type=float, default=6.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    processes.GPU_MODULE = "experiments.cameras.owner"
    processes.MODULES = {"ingest": processes.GPU_MODULE, "decode": processes.GPU_MODULE}

    def open_pause(self: ModelService) -> tuple[Any, ModelCard]:
        self.model_name = CARD.variant
        self._read_rows = native_client(lambda text: None).read_rows
        return PausingSession(), CARD

    ModelService._open = open_pause  # type: ignore[method-assign]
    figures = asyncio.run(owner_figures(options.cameras, options.frames_per_s, options.warm, options.seconds))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 2 and Path(sys.argv[1]).is_dir():
        run_child(feed)
    else:
        main()
