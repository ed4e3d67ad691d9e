"""What every process holds while it lives, and whether that grows.

Backs: docs/reliability.md, "It reads memory, descriptors and threads of every process and judges them by their slope."
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from photofinish.percentiles import nearest_rank

KINDS = ("own_bytes", "descriptors", "threads")
"""own_bytes: anonymous memory, which belongs to this process alone; shared regions come and go with clients."""
LIMITS: Mapping[str, float] = {"own_bytes": 32 << 20, "descriptors": 8.0, "threads": 8.0}
"""What may be added over a process's life beside SHARE: one more arena of malloc, one more connection a client."""
SHARE = 0.05
CELL_MODULES = "photofinish.client.cameras."
"""What the processes of a cell run, such as `photofinish.client.cameras.decode.process FOLDER 0`."""
MOST_POINTS = 240
"""Readings that a slope is taken from; more are thinned evenly."""


@dataclass(slots=True)
class Life:
    """One process from its first reading to its last. readings: (second, own_bytes, descriptors, threads)."""

    role: str
    pid: int
    readings: list[tuple[float, int, int, int]] = field(default_factory=list)


class Watch:
    """Readings of process trees.

    A process that starts again begins a life of its own, and so does a spare one that becomes a model's process.
    """

    def __init__(self) -> None:
        self._lives: dict[tuple[int, float, str], Life] = {}

    def read(self, second: float, roots: dict[str, int], names: dict[int, str], *, with_children: bool = True) -> None:
        """Read every process below the roots, by role. names: what is known of processes by their id."""
        for role, pid in roots.items():
            try:
                root = psutil.Process(pid)
                processes = [root, *(root.children(recursive=True) if with_children else ())]
            except psutil.Error:
                continue
            for process in processes:
                try:
                    own = _role_of(process, root, role, names)
                    life = self._lives.setdefault((process.pid, process.create_time(), own), Life(own, process.pid))
                    life.readings.append((round(second, 1), *reading_of(process.pid)))
                except (psutil.Error, OSError, ValueError):
                    continue  # it ended just now

    def lives(self) -> list[Life]:
        """All of them, by role."""
        return sorted(self._lives.values(), key=lambda life: (life.role, life.readings[0][0] if life.readings else 0))


def reading_of(pid: int) -> tuple[int, int, int]:
    """Anonymous memory in bytes, open descriptors, threads. Raises OSError when the process is gone."""
    folder = Path("/proc") / str(pid)
    fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
    own_bytes = int(fields["RssAnon"].split()[0]) * 1024 if "RssAnon" in fields else 0
    return own_bytes, sum(1 for _ in (folder / "fd").iterdir()), int(fields["Threads"])


def _role_of(process: psutil.Process, root: psutil.Process, role: str, names: dict[int, str]) -> str:
    if process.pid == root.pid:
        return role
    if process.pid in names:
        return f"{role}: {names[process.pid]}"
    words = [word for word in process.cmdline() if word]
    if part := next((word.split(".")[-2] for word in words if word.startswith(CELL_MODULES)), ""):
        return f"{role}: {part} {words[-1]}" if words[-1].isdigit() else f"{role}: {part}"
    if any(word.endswith("supervisor.py") for word in words):
        return f"{role}: supervisor"
    if process.name().startswith("tritonserver"):
        return f"{role}: tritonserver"
    if any("resource_tracker" in word for word in words):
        return f"{role}: resource tracker"
    if any("spawn_main" in word for word in words):
        return f"{role}: its source"
    if words and (found := re.fullmatch(r"(.+?)_\d+_\d+", words[-1])):
        return f"{role}: {found[1]}"
    return f"{role}: {process.name()}"


def slope_per_s(seconds: list[float], values: list[float]) -> float:
    """The median of the slopes between all pairs of readings: a few outliers move it nowhere."""
    step = max(1, len(seconds) // MOST_POINTS)
    x, y = np.array(seconds[::step]), np.array(values[::step])
    first, second = np.triu_indices(len(x), k=1)
    apart = x[second] - x[first]
    return nearest_rank((y[second] - y[first])[apart > 0] / apart[apart > 0], 0.5) if (apart > 0).any() else 0.0


def judge(
    life: Life, *, warm_up_s: float, least_s: float, limits: Mapping[str, float] = LIMITS
) -> dict[str, Any] | None:
    """How much each kind grew from the end of the warm-up on, by its slope; None for a life too short to tell.

    grew: the kinds that added more than SHARE of their median and more than their limit. noise: how far a reading lies
    from the line of the slope, in the middle.
    """
    begun = life.readings[0][0] + warm_up_s
    kept = [reading for reading in life.readings if reading[0] >= begun]
    if len(kept) < 5 or kept[-1][0] - kept[0][0] < least_s:
        return None
    span_s = kept[-1][0] - kept[0][0]
    document: dict[str, Any] = {"role": life.role, "seconds": round(span_s, 1), "readings": len(kept), "grew": []}
    for column, kind in enumerate(KINDS, start=1):
        values = [float(reading[column]) for reading in kept]
        seconds = [reading[0] for reading in kept]
        added = slope_per_s(seconds, values) * span_s
        median = nearest_rank(np.array(values), 0.5)
        straight = np.array(values) - added / span_s * np.array(seconds)
        noise = nearest_rank(np.abs(straight - nearest_rank(straight, 0.5)), 0.5)
        document[kind] = {
            "median": median,
            "largest": max(values),
            "added_by_slope": round(added, 1),
            "noise": round(noise, 1),
        }
        if added > limits[kind] and added > SHARE * median:
            document["grew"].append(kind)
    return document
