"""One step of the benchmark of cameras: test streams, one cell, a warm-up, a window, and all that was seen in it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from photofinish.client.cameras.streams.launch import StreamProcesses
from photofinish.client.cameras.supervise.cell import CameraCell
from photofinish.client.cameras.supervise.gpus import CPU_ALONE, DecodePlan
from photofinish.client.cameras.supervise.model_service import ServerAddress
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CameraStatus, CellStatus, DecodeWay, DropCount
from photofinish.machine.disk import log_folder as usual_log_folder
from photofinish.machine.processes import CpuMeter, ProcessTree, busiest_programs, machine_cpu_s, process_table
from photofinish.machine.processor import usable_cores
from photofinish.perf.cameras.parts import bytes_of_processes, cores_between, pids_by_part
from photofinish.perf.record.cameras import CamerasStep, CameraWindow
from photofinish.perf.watch.gpu import GpuWatch

CAMERAS_A_PROCESS = 150
WARM_UP_LIMIT_S = 45.0
SETTLE_S = 2.0
LOOK_S = 0.1
WAYS: tuple[DecodeWay, ...] = ("gpu", "cpu", "pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """How each step is measured. server_pids: () for servers that are not ours. source: "" for the synthetic camera.

    addresses: of the server, or of one for each GPU of `decoding`. driver_numbers: the driver's number of each of its
    GPUs. gpus: those that are watched, by the driver's numbers; () for all. is_aligned, cut_every_s: what is hard about
    the streams, as in StreamPlan.
    """

    addresses: tuple[ServerAddress, ...]
    variant: str = ""
    server_pids: tuple[int, ...] = ()
    decoding: DecodePlan = CPU_ALONE
    driver_numbers: dict[int, int] = field(default_factory=dict)
    gpus: tuple[int, ...] = ()
    seconds: float = 20.0
    wanted_fps: float = 5.0
    stream_fps: float = 5.0
    size_wh: tuple[int, int] = (640, 360)
    source: str = ""
    codec: str = "h264"
    nvml: Any | None = None
    idle_gpu_bytes: dict[int, int] = field(default_factory=dict)
    log_folder: Path = field(default_factory=usual_log_folder)
    warm_up_limit_s: float = WARM_UP_LIMIT_S
    is_aligned: bool = False
    cut_every_s: float = 0.0


class LatencyEar:
    """An output that keeps the latencies of a window."""

    name = "measurement"
    lost = 0

    def __init__(self) -> None:
        self.is_open = False
        self.latencies_ns: dict[str, list[int]] = {}
        self.clocks: dict[str, str] = {}

    def on_inferred(self, result: Inferred) -> None:
        """Keep it while the window is open."""
        if self.is_open:
            self.latencies_ns.setdefault(result.camera, []).append(result.latency_ns)
            self.clocks[result.camera] = result.clock

    def on_status(self, status: CellStatus) -> None:
        """The window's ends are asked for, not heard."""

    def close(self) -> None:
        """There is nothing to close."""


async def measure_step(count: int, plan: StepPlan, on_progress: Callable[[str], None]) -> CamerasStep:
    """So many cameras for the plan's seconds. Raises SourceError when the streams cannot be made."""
    ear, notes = LatencyEar(), list[str]()
    async with StreamProcesses(
        count,
        size_wh=plan.size_wh,
        frames_per_s=plan.stream_fps,
        source=plan.source,
        codec=plan.codec,
        is_aligned=plan.is_aligned,
        cut_every_s=plan.cut_every_s,
    ) as streams:
        cell = CameraCell(
            plan.addresses,
            variant=plan.variant,
            outputs=[ear],
            ingest_processes=-(-count // CAMERAS_A_PROCESS),
            decode_processes=max(usable_cores() // 2, 1),
            decoding=plan.decoding.for_cameras(count),
            log_folder=plan.log_folder,
            on_notice=notes.append,
        )
        cell.apply(streams.cameras(plan.wanted_fps))
        async with cell:
            return await _measured(cell, streams, ear, plan, notes, on_progress)


async def _measured(
    cell: CameraCell,
    streams: StreamProcesses,
    ear: LatencyEar,
    plan: StepPlan,
    notes: list[str],
    on_progress: Callable[[str], None],
) -> CamerasStep:
    began_s = time.monotonic()
    is_warm = await _warmed_up(cell, plan.warm_up_limit_s)
    warm_up_s = time.monotonic() - began_s
    if not is_warm:
        on_progress(f"not every camera was served within {plan.warm_up_limit_s:.0f} s; measuring what there is")
    await streams.begin_window()
    notes.clear()
    with GpuWatch(
        plan.nvml,
        # The decode processes are ours too.
        server=ProcessTree(*plan.server_pids, os.getpid()) if plan.server_pids else None,
        idle_bytes=plan.idle_gpu_bytes,
        has_media=True,
    ) as gpus:
        meter = CpuMeter(machine_cpu_s)  # also what ended meanwhile, such as a compiler's many processes
        parts = pids_by_part(cell.status(), streams, plan.server_pids)
        first = cell.status()
        before = {row.camera: row.count for row in first.cameras}
        started_ns, table = time.perf_counter_ns(), process_table()
        ear.is_open = True
        await _wait(cell, plan.seconds)
        ear.is_open = False
        status = cell.status()
        ways = {row.camera: row.decode for row in first.cameras}
        window_s, later = (time.perf_counter_ns() - started_ns) / 1e9, process_table()
        machine_cores = meter.cores()
    await streams.report()
    late = [value for value in streams.late_p99_ms if value is not None]
    longest = [value for value in streams.late_max_ms if value is not None]
    limits = cell.session_limits
    cores = {part: cores_between(table, later, pids, window_s) for part, pids in parts.items()}
    return CamerasStep(
        cameras=len(before),
        window_s=window_s,
        warm_up_s=warm_up_s,
        is_warm=is_warm,
        rows=tuple(_row(row, before[row.camera], ear, plan, ways[row.camera]) for row in status.cameras),
        cores=cores,
        memory_bytes={part: bytes_of_processes(pids) for part, pids in parts.items()},
        other_cores=max(machine_cores - sum(cores.values()), 0.0) if plan.server_pids else None,
        other_programs=busiest_programs(table, later, [pid for pids in parts.values() for pid in pids], window_s),
        gpus=tuple(item for item in gpus.observations if not plan.gpus or item.index in plan.gpus),
        late_p99_ms=max(late) if len(late) == len(streams.late_p99_ms) else None,
        late_max_ms=max(longest) if longest else None,
        sent=sum(streams.sent),
        restarts=sum(status.restarts.values()),
        notes=tuple(dict.fromkeys([*notes, *status.notes])),
        busiest_cores={
            part: max((cores_between(table, later, [pid], window_s) for pid in pids), default=0.0)
            for part, pids in parts.items()
        },
        lost_packets=lost_packets_between(first, status),
        session_limit=min(limits.values(), default=None),
        session_limits={str(plan.driver_numbers.get(gpu, gpu)): limit for gpu, limit in limits.items()},
    )


async def _warmed_up(cell: CameraCell, limit_s: float) -> bool:
    """Wait until every camera was served, and a moment more. Whether that came to be."""
    end_s = time.monotonic() + limit_s
    while any(row.count.inferred < 2 for row in cell.status().cameras):
        if time.monotonic() > end_s:
            return False
        await _wait(cell, LOOK_S)
    await _wait(cell, SETTLE_S)
    return True


async def _wait(cell: CameraCell, seconds: float) -> None:
    """Let the cell run. Raises what ended it, such as an account that does not add up."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await cell.run_until(over)


def lost_packets_between(first: CellStatus, later: CellStatus) -> int:
    """Of all cameras. An ingest process that was started again has counted from 0."""
    before = {row.camera: row.ingest.lost_packets for row in first.cameras}
    return sum(max(row.ingest.lost_packets - before.get(row.camera, 0), 0) for row in later.cameras)


def _least(*ways: DecodeWay) -> DecodeWay:
    """Of ways to decode a camera the one that gives least."""
    return max(ways, key=WAYS.index)


def _row(row: CameraStatus, before: DropCount, ear: LatencyEar, plan: StepPlan, way: DecodeWay) -> CameraWindow:
    name, after = row.camera, row.count
    dropped = {
        cause.value: count - before.dropped.get(cause, 0)
        for cause, count in after.dropped.items()
        if count > before.dropped.get(cause, 0)
    }
    return CameraWindow(
        camera=name,
        due=after.due - before.due,
        inferred=after.inferred - before.inferred,
        dropped=dropped,
        pending_before=before.pending,
        pending_after=after.pending,
        latencies_ns=tuple(ear.latencies_ns.get(name, ())),
        clock=ear.clocks.get(name, "arrival"),
        gpu=None if row.gpu is None else plan.driver_numbers.get(row.gpu, row.gpu),
        decode=_least(way, row.decode),
    )
