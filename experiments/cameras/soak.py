"""Seventy real RTSP streams for half an hour: is every due frame accounted for, and does anything grow?

    chrt -r 10 python -m experiments.cameras.soak

Exports the demo detector small, starts the test streams and `photofinish cameras run` on a list of them, and reads,
without a pause, every inferred frame, the account of every camera, memory, descriptors and threads of every process,
the cores that each part used, and how late the streams were sent. On a machine with other work it runs at a real-time
priority (`chrt`, inherited by all that it starts), the streams above the rest. Exit 1 when something grew, an account
did not add up, a camera was lost, the latency rose, or the streams were late, which voids the run.

Backs: docs/cameras.md, "for 30 minutes on two cores"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from experiments.cameras.quarters import LatencyQuarters, risen
from experiments.cameras.running import (
    RunningCameras,
    end_with_sigterm,
    export_model,
    raise_priority,
    say,
    scheduling,
    write_list,
)
from experiments.faults.watching import MOST_POINTS, Life, Watch, judge
from photofinish.client.cameras.streams.launch import MAX_LATE_P99_MS, StreamProcesses
from photofinish.machine.processes import (
    CpuMeter,
    ProcessTable,
    busiest_programs,
    machine_cpu_s,
    process_table,
    ticks_per_s,
)
from photofinish.perf.record.environment import runtime_fingerprint, utc_now

READ_EVERY_S = 5.0
MAX_RISE = 1.10
WARM_UP_LIMIT_S = 120.0
SETTLE_S = 20.0
"""Latencies of the first seconds are of cameras that connect all at once."""
MIN_CORES = 0.001
LIMITS = {"own_bytes": 4 << 20, "descriptors": 2.0, "threads": 2.0}


class CamerasSoak:
    """Everything that is read while it runs."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.seconds = options.minutes * 60.0
        self.watch = Watch()
        self.latencies = LatencyQuarters(self.seconds)
        self.minutes: list[dict[str, Any]] = []
        self.totals: list[tuple[float, int, int, int, int]] = []
        self.mismatches: list[str] = []
        self.checked = 0
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.notices: list[str] = []
        self.restarts = 0
        self.stopped_s = 0.0

    async def run(self) -> None:
        """Start everything, watch it for the minutes, end it."""
        options = self.options
        say("exporting the model")
        repository = export_model(self.folder, variant=options.variant, input_size=options.input_size)
        cameras = self.folder / "cameras.toml"
        words = [str(cameras), "--repository", str(repository), "--port", "0", "--status-port", "0"]
        async with StreamProcesses(options.cameras, frames_per_s=options.stream_fps, seconds=8.0) as streams:
            raise_priority(streams.pids)
            write_list(cameras, streams.cameras(options.fps))
            running = RunningCameras(words, self.folder / "cameras.log", self.latencies.add)
            await asyncio.to_thread(running.__enter__)
            try:
                await self._warm_up(running)
                await streams.begin_window()
                await self._watch(running, streams)
            finally:
                self.stopped_s = await asyncio.to_thread(running.stop)
                self.notices = running.notices

    async def _warm_up(self, running: RunningCameras) -> None:
        end_s = time.monotonic() + WARM_UP_LIMIT_S
        while any(row["count"]["inferred"] < 2 for row in (await self._status(running))["cameras"]):
            if time.monotonic() > end_s:
                say("not every camera was served in two minutes")
                break
            await asyncio.sleep(1.0)
        await asyncio.sleep(SETTLE_S)

    async def _watch(self, running: RunningCameras, streams: StreamProcesses) -> None:
        began_s = time.monotonic()
        self.latencies.begin()
        self.before = _accounts(await self._status(running))
        roots = {"cameras run": running.pid, **{f"streams {at}": pid for at, pid in enumerate(streams.pids)}}
        table, meter, next_minute_s = process_table(), CpuMeter(machine_cpu_s), 60.0
        while (second := time.monotonic() - began_s) < self.seconds:
            self.watch.read(second, roots, {})
            self.watch.read(second, {"the experiment": os.getpid()}, {}, with_children=False)
            self._note_totals(second, await self._status(running))
            if second >= next_minute_s:
                next_minute_s += 60.0
                await streams.report()
                later = process_table()
                self.minutes.append(self._minute(table, later, meter, streams, roots))
                table, meter = later, CpuMeter(machine_cpu_s)
                await streams.begin_window()
                say(f"minute {len(self.minutes)}: {json.dumps({**self.minutes[-1], 'totals': self.totals[-1]})}")
            await asyncio.sleep(max(READ_EVERY_S - (time.monotonic() - began_s - second), 0.0))
        status = await self._status(running)
        self._note_totals(time.monotonic() - began_s, status)
        self.after, self.restarts = _accounts(status), sum(status["restarts"].values())

    async def _status(self, running: RunningCameras) -> dict[str, Any]:
        return await asyncio.to_thread(running.status)

    def _note_totals(self, second: float, status: dict[str, Any]) -> None:
        """Check every camera's account, and keep the sums."""
        sums = Counter[str]()
        for row in status["cameras"]:
            count = row["count"]
            dropped = sum(count["dropped"].values())
            self.checked += 1
            if count["due"] != count["inferred"] + dropped + count["pending"]:
                self.mismatches.append(f"{row['camera']} at {second:.0f} s: {count}")
            sums.update({key: count[key] for key in ("due", "inferred", "pending")} | {"dropped": dropped})
        self.totals.append((round(second, 1), sums["due"], sums["inferred"], sums["dropped"], sums["pending"]))

    def _minute(
        self,
        before: ProcessTable,
        after: ProcessTable,
        meter: CpuMeter,
        streams: StreamProcesses,
        roots: dict[str, int],
    ) -> dict[str, Any]:
        """Cores of each part over the last minute, and how late the streams were."""
        seconds = self.totals[-1][0] - (self.minutes[-1]["second"] if self.minutes else 0.0)
        machine = meter.cores()
        roles = {life.pid: life.role for life in self.watch.lives() if life.pid in after.ticks}
        roles |= {pid: "rest" for pid in after.with_descendants(roots.values()) if pid not in roles}
        used: dict[str, float] = {}
        for pid, role in roles.items():
            ticks = after.ticks[pid] - before.ticks.get(pid, 0)
            used[role] = used.get(role, 0.0) + ticks / ticks_per_s() / seconds
        cores = {role: round(value, 3) for role, value in sorted(used.items()) if value >= MIN_CORES}
        others = busiest_programs(before, after, roles, seconds)
        return {
            "second": self.totals[-1][0],
            **self.latencies.minute(),
            "late_p99_ms": max((value for value in streams.late_p99_ms if value is not None), default=None),
            "late_max_ms": max((value for value in streams.late_max_ms if value is not None), default=None),
            "cores": cores,
            "other_cores": round(max(machine - sum(used.values()), 0.0), 3),
            "other_programs": [[name, round(used, 2)] for name, used in others],
        }

    def document(self) -> dict[str, Any]:
        """What was found, with the readings."""
        lives = self.watch.lives()
        judged = [
            {**found, "unit": "process"}
            for life in lives
            if (found := judge(life, warm_up_s=self.seconds / 15, least_s=self.seconds / 2, limits=LIMITS)) is not None
        ]
        quarters = self.latencies.document()
        late = [minute["late_p99_ms"] for minute in self.minutes if minute["late_p99_ms"] is not None]
        return {
            "created_utc": utc_now(),
            "command": f"python -m experiments.cameras.soak {' '.join(sys.argv[1:])}".strip(),
            "scheduling": scheduling(),
            "environment": runtime_fingerprint(None),
            "minutes": self.options.minutes,
            "cameras": self.options.cameras,
            "size_wh": [640, 360],
            "codec": "h264",
            "stream_fps": self.options.stream_fps,
            "fps": self.options.fps,
            "variant": self.options.variant,
            "input_size": self.options.input_size,
            "accounts": _between(self.before, self.after),
            "totals": self.totals,
            "accounts_checked": self.checked,
            "mismatches": self.mismatches,
            "quarters": quarters,
            "p99_rise": risen(quarters[0].get("p99_ms"), quarters[-1].get("p99_ms")),
            "late_p99_ms": max(late, default=None),
            "by_minute": self.minutes,
            "processes": judged,
            "readings": [_readings(life) for life in lives],
            "restarts": self.restarts,
            "stopped_s": round(self.stopped_s, 2),
            "notices": self.notices[:200],
        }


def _accounts(status: dict[str, Any]) -> dict[str, Any]:
    return {row["camera"]: row["count"] for row in status["cameras"]}


def _between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Each camera's account of the run alone."""
    return {
        name: {
            "due": count["due"] - before[name]["due"],
            "inferred": count["inferred"] - before[name]["inferred"],
            "dropped": dict(Counter(count["dropped"]) - Counter(before[name]["dropped"])),
            "pending_before": before[name]["pending"],
            "pending_after": count["pending"],
        }
        for name, count in after.items()
        if name in before
    }


def _readings(life: Life) -> dict[str, Any]:
    """A process's readings, thinned evenly: second, own bytes, descriptors, threads."""
    step = -(-len(life.readings) // MOST_POINTS) or 1
    return {"role": life.role, "readings": life.readings[::step]}


def failures_of(document: dict[str, Any]) -> list[str]:
    """What does not hold, in words; the streams' lateness voids the rest."""
    found = []
    late = document["late_p99_ms"]
    if late is None or late > MAX_LATE_P99_MS:
        found.append(f"void: the streams were {late} ms late (P99 of a minute; limit {MAX_LATE_P99_MS:g} ms)")
    found += [f"{row['role']} grew: {', '.join(row['grew'])}" for row in document["processes"] if row["grew"]]
    if document["mismatches"] or not document["accounts"]:
        found.append(f"{len(document['mismatches'])} accounts do not add up")
    lost = [name for name, count in document["accounts"].items() if count["inferred"] < 0.9 * count["due"]]
    if lost:
        found.append(f"{len(lost)} cameras lost more than a tenth of their frames: {', '.join(lost[:5])}")
    if (rise := document["p99_rise"]) is None or rise > MAX_RISE:
        found.append(f"P99 of the last quarter is {rise} of the first's")
    if document["restarts"]:
        found.append(f"{document['restarts']} processes ended by themselves")
    return found


def main() -> int:
    """Run; write the record, print what matters of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--cameras", type=int, default=70)
    parser.add_argument("--stream-fps", type=float, default=5.0)
    parser.add_argument("--fps", type=float, default=1.0, help="inferred of each camera")
    parser.add_argument("--variant", default="openvino_fp32")
    parser.add_argument("--input-size", type=int, default=192)
    parser.add_argument("--out", type=Path, default=Path(".photofinish/cameras_soak.json"))
    options = parser.parse_args()
    end_with_sigterm()
    folder = Path(tempfile.mkdtemp(prefix="photofinish-cameras-"))
    soak = CamerasSoak(options, folder)
    try:
        asyncio.run(soak.run())
    finally:
        document = soak.document()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        say(f"wrote {options.out}; logs in {folder}")
    for quarter in document["quarters"]:
        say(f"{quarter['frames']} frames: " + ", ".join(f"{key} {quarter[key]}" for key in quarter if key[0] == "p"))
    failures = failures_of(document)
    for line in failures or ["every frame accounted for, nothing grew"]:
        say(line)
    if not failures:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
