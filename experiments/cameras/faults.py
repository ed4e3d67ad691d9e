"""Each fault that cameras and their cell may have: how soon is it over, and do the other cameras notice?

    chrt -r 10 python -m experiments.cameras.faults

`photofinish cameras run` watches six cameras, four of our own RTSP server and two of GStreamer's, and posts events to a
receiver. One fault after the other is struck and mended. Of each: the seconds from its end until the camera's frames
are inferred again, what its frames were dropped for, and what became of every other camera's frames meanwhile. Exit 1
when a fault was not over within five seconds, another camera lost frames, or an account did not add up.

Backs: docs/cameras.md, "Each fault was struck for real"
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cameras.injections import Injection, camera_faults, other_makers_faults, our_faults
from experiments.cameras.running import RunningCameras, end_with_sigterm, export_model, say, scheduling
from experiments.cameras.stage import STEADY, CameraStage
from photofinish.percentiles import nearest_rank
from photofinish.perf.record.environment import runtime_fingerprint, utc_now

NOTICED_S = 0.7
"""A pause of a camera's frames, of which five a second are inferred, longer than this."""
RECOVERS_WITHIN_S = 5.0
WATCH_S = 9.0
QUIET_S = 20.0
LEAST_SHARE = 0.98
DISK_KIB = 512


def gaps_s(times: Iterable[float], since: float, until: float) -> list[tuple[float, float]]:
    """Begin and end of each pause that is noticed."""
    inside = [since, *(at for at in times if since <= at <= until), until]
    return [(a, b) for a, b in itertools.pairwise(inside) if b - a > NOTICED_S]


def recovery_s(gaps: list[tuple[float, float]], mended: float, until: float) -> float | None:
    """From the end of the cause to the end of the last pause; 0 where none was left then, None where one goes on."""
    if not gaps:
        return 0.0
    return None if gaps[-1][1] >= until else max(gaps[-1][1] - mended, 0.0)


class Measuring:
    """One run of the command through all faults."""

    def __init__(self, stage: CameraStage, running: RunningCameras) -> None:
        self._stage = stage
        self._running = running
        self.rows: list[dict[str, Any]] = []
        self.quiet: dict[str, Any] = {}

    def begin(self) -> None:
        """Wait until every camera is served, then look at them without a fault."""
        end_s = time.monotonic() + 120
        while any(row["count"]["inferred"] < 5 for row in self._running.status()["cameras"]):
            if time.monotonic() > end_s:
                raise TimeoutError("not every camera was served within two minutes")
            time.sleep(0.5)
        before, began_s = self._accounts(), time.monotonic()
        time.sleep(QUIET_S)
        self.quiet = self._others(self._stage.cameras, before, began_s, time.monotonic())

    def measure(self, fault: Injection) -> None:
        """Strike and mend it, and see what came of it."""
        stage = self._stage
        before, struck_s = self._accounts(), time.monotonic()
        fault.strike()
        time.sleep(fault.hold_s)
        said = {row["camera"]: row["ingest"]["message"] for row in self._status()["cameras"]}
        mended_s = time.monotonic()
        fault.mend()
        time.sleep(WATCH_S)
        until_s, after = time.monotonic(), self._accounts()
        touched = fault.touched or tuple(stage.cameras)
        found = {}
        for name in touched:
            gaps = gaps_s(self._times(name), struck_s, until_s)
            recovered = recovery_s(gaps, mended_s, until_s)
            found[name] = {
                "recovery_s": None if recovered is None else round(recovered, 2),
                "outage_s": round(sum(end - begin for begin, end in gaps), 2),
                "dropped": _dropped(before.get(name, {}), after.get(name, {})),
                "said": said.get(name, ""),
            }
        others = [name for name in stage.cameras if name not in touched and name in before]
        row = {
            "fault": fault.name,
            "server": fault.server,
            "lasted_s": round(mended_s - struck_s, 1),
            "loses": fault.loses,
            "recovery_s": _largest(item["recovery_s"] for item in found.values()),
            "touched": found,
            "others": self._others(others, before, struck_s, until_s),
            "accounts_hold": all(_adds_up(count) for count in after.values()),
        }
        self.rows.append(row)
        say(f"{fault.server} {fault.name}: recovery {row['recovery_s']} s, others {json.dumps(row['others'])}")
        fault.after()
        if fault.after.__name__ != "<lambda>":
            time.sleep(WATCH_S / 2)

    def _times(self, camera: str) -> list[float]:
        return [frame.at_s for frame in list(self._stage.frames) if frame.camera == camera]

    def _others(
        self, names: Iterable[str], before: dict[str, Any], since_s: float, until_s: float
    ) -> dict[str, float | int | None]:
        """Due and inferred frames of these cameras, their longest pause, and their latency in ms."""
        names, after = list(names), self._accounts()
        due = sum(after[name]["due"] - before[name]["due"] for name in names)
        inferred = sum(after[name]["inferred"] - before[name]["inferred"] for name in names)
        frames = [frame for frame in list(self._stage.frames) if since_s <= frame.at_s <= until_s]
        latencies = np.array([frame.latency_ms for frame in frames if frame.camera in names])
        pauses = [
            later - earlier
            for name in names
            for earlier, later in itertools.pairwise([since_s, *(f.at_s for f in frames if f.camera == name), until_s])
        ]
        return {
            "cameras": len(names),
            "due": due,
            "inferred": inferred,
            "longest_pause_s": round(max(pauses), 2) if pauses else None,
            "p50_ms": round(nearest_rank(latencies, 0.5), 1) if len(latencies) else None,
            "p95_ms": round(nearest_rank(latencies, 0.95), 1) if len(latencies) else None,
        }

    def _status(self) -> dict[str, Any]:
        return self._running.status()

    def _accounts(self) -> dict[str, Any]:
        return {row["camera"]: row["count"] for row in self._status()["cameras"]}


def _dropped(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    earlier = before.get("dropped", {}) if before.get("due", 0) <= after.get("due", 0) else {}
    return dict(Counter(after.get("dropped", {})) - Counter(earlier))


def _adds_up(count: dict[str, Any]) -> bool:
    return bool(count["due"] == count["inferred"] + sum(count["dropped"].values()) + count["pending"])


def _largest(values: Iterable[float | None]) -> float | None:
    found = list(values)
    return None if any(value is None for value in found) else max((value or 0.0 for value in found), default=0.0)


def disk_full(stage: CameraStage, repository: Path) -> dict[str, Any]:
    """A run of its own whose lines go to a small disk that is full for a while. Needs the right to mount one."""
    folder = stage.folder / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        return {"fault": "disk full", "server": "", "not_run": "no right to mount a small disk; run as root"}
    lines, ballast = folder / "frames.jsonl", folder / "ballast"
    words = [str(stage.folder / "steady.toml"), "--repository", str(repository), "--no-page", "--status-port", "0"]
    try:
        with RunningCameras(words, stage.folder / "disk.log", json_path=str(lines)) as running:
            end_s = time.monotonic() + 60
            while not (lines.exists() and lines.stat().st_size > 4000) and time.monotonic() < end_s:
                time.sleep(0.2)
            before, struck_s = running.status(), time.monotonic()
            subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=1k"], check=False, capture_output=True)
            time.sleep(5.0)
            ballast.unlink()
            size, mended_s = lines.stat().st_size, time.monotonic()
            while lines.stat().st_size == size and time.monotonic() - mended_s < 10:
                time.sleep(0.02)
            recovered_s = time.monotonic() - mended_s
            time.sleep(2.0)
            after = running.status()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
    due, inferred = (
        sum(
            late["count"][key] - early["count"][key]
            for early, late in zip(before["cameras"], after["cameras"], strict=True)
        )
        for key in ("due", "inferred")
    )
    return {
        "fault": "disk full",
        "server": "",
        "lasted_s": round(mended_s - struck_s, 1),
        "loses": False,
        "recovery_s": round(recovered_s, 2),
        "lost_lines": sum(after["lost_events"].values()),
        "others": {"cameras": len(after["cameras"]), "due": due, "inferred": inferred},
        "accounts_hold": all(_adds_up(row["count"]) for row in after["cameras"]),
    }


def failures_of(rows: list[dict[str, Any]]) -> list[str]:
    """What does not hold, in words."""
    found = []
    for row in rows:
        name = f"{row['server']} {row['fault']}".strip()
        if "not_run" in row:
            found.append(f"{name}: not run, {row['not_run']}")
            continue
        if row["recovery_s"] is None or row["recovery_s"] > RECOVERS_WITHIN_S:
            found.append(f"{name}: over after {row['recovery_s']} s")
        others = row["others"]
        if others["due"] and others["inferred"] < LEAST_SHARE * others["due"] - others["cameras"]:
            found.append(f"{name}: of the other cameras' {others['due']} frames {others['inferred']} were inferred")
        if not row["accounts_hold"]:
            found.append(f"{name}: an account does not add up")
    return found


def main() -> int:
    """Run; write the record, print what matters of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hold", type=float, default=8.0, help="seconds that a fault lasts")
    parser.add_argument("--long", type=float, default=30.0, help="seconds of those that last longer")
    parser.add_argument("--only", action="append", default=[], help="faults whose name holds this; may be repeated")
    parser.add_argument("--variant", default="openvino_fp32")
    parser.add_argument("--input-size", type=int, default=192)
    parser.add_argument("--rtsp-python", default="/usr/bin/python3", help="one that has GStreamer's RTSP server")
    parser.add_argument("--out", type=Path, default=Path(".photofinish/cameras_faults.json"))
    options = parser.parse_args()
    end_with_sigterm()
    folder = Path(tempfile.mkdtemp(prefix="photofinish-cameras-"))
    repository = export_model(folder, variant=options.variant, input_size=options.input_size)
    stage = CameraStage(folder, repository, options.rtsp_python)
    rows: list[dict[str, Any]] = []
    quiet: dict[str, Any] = {}
    notices: list[str] = []
    try:
        with stage.open() as running:
            measuring = Measuring(stage, running)
            rows = measuring.rows
            measuring.begin()
            quiet = measuring.quiet
            faults = [
                *camera_faults(stage, options.hold, options.long),
                *other_makers_faults(stage, options.hold),
                *our_faults(stage, running, options.hold),
            ]
            for fault in faults:
                if not options.only or any(word in fault.name for word in options.only):
                    measuring.measure(fault)
            notices = running.notices
        if not options.only or any(word in "disk full" for word in options.only):
            stage.cameras = {name: stage.cameras[name] for name in STEADY}
            stage.write()
            shutil.copy(folder / "cameras.toml", folder / "steady.toml")
            rows.append(disk_full(stage, repository))
    finally:
        stage.close()
        document = {
            "created_utc": utc_now(),
            "scheduling": scheduling(),
            "environment": runtime_fingerprint(None),
            "hold_s": options.hold,
            "long_s": options.long,
            "quiet": quiet,
            "faults": rows,
            "notices": notices,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        say(f"wrote {options.out}; logs in {folder}")
    failures = failures_of(rows)
    for line in failures or ["every fault was over in time, and no other camera noticed"]:
        say(line)
    if not failures:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
