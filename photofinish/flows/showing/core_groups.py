"""A group of cores for each side of the view, on a machine that has enough of them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from photofinish.errors import ConfigError
from photofinish.machine.addresses import is_loopback
from photofinish.machine.processes import command_line, environment_of, model_processes, process_table
from photofinish.machine.processor import processor_quota, usable_cores

LEAST_CORES = 8
"""With fewer, half of them says too little of what the whole machine would do; the sides take turns there."""
CPUS = Path("/sys/devices/system/cpu")
_SPEEDS = 4
"""Cores are of one kind whose clocks differ by less than about a quarter of the fastest: a turbo is no other kind."""

CoreGroup = tuple[int, ...]
"""Cores by the kernel's numbers, those of a kind together, the fastest kind first."""


def core_groups(cpus: Path = CPUS) -> tuple[CoreGroup, CoreGroup] | None:
    """Two halves of the cores that this process may use and that its control groups give it time for.

    None where these are fewer than LEAST_CORES, or of kinds that cannot be halved.
    """
    limit = processor_quota()
    first, second = core_halves(os.sched_getaffinity(0), cpus)
    size = len(first) if limit is None else min(len(first), int(limit) // 2)
    return (first[:size], second[:size]) if size and size >= LEAST_CORES // 2 else None


def core_halves(allowed: Collection[int], cpus: Path = CPUS) -> tuple[CoreGroup, CoreGroup]:
    """Two groups with the same number of cores of every kind; what cannot be halved is in neither.

    Two threads of one physical core stay together, since they slow each other; so do neighbours, which share caches.
    """
    physical = _physical_cores(allowed, cpus)
    clocks = {core: max(_number(cpus / f"cpu{cpu}/cpufreq/cpuinfo_max_freq") for cpu in core) for core in physical}
    fastest = max(clocks.values(), default=0) or 1
    kinds: dict[tuple[int, int], list[CoreGroup]] = {}
    for core in physical:
        kinds.setdefault((-round(_SPEEDS * clocks[core] / fastest), -len(core)), []).append(core)
    several = [(cores, len(cores) // 2) for _, cores in sorted(kinds.items()) if len(cores) > 1]
    return _joined(cores[:half] for cores, half in several), _joined(cores[-half:] for cores, half in several)


def model_cores(group: CoreGroup) -> CoreGroup:
    """Where the model of a side computes: on all but one core of its group.

    Threads that compute together wait for the slowest of them. The client of the side, and what serves both sides,
    find their time on the core that is left.
    """
    return group[:-1] or group


def require_all_cores(url: str, names: Iterable[str]) -> None:
    """Raises ConfigError where a model of the server at `url` on this machine computes on a group of cores alone.

    Whoever asks such a server from outside would measure half a machine, beside a view that shows the other half.
    """
    from photofinish.server.backend.model import CORES

    port, parents = f"--grpc-port={url.rpartition(':')[2]}", process_table().parents
    for name, pids in model_processes(names if is_loopback(url) else ()).items():
        for pid in (pid for pid in pids if port in command_line(parents.get(pid, 0))):
            if cores := json.loads(environment_of(pid).get(CORES) or "{}").get(name):
                raise ConfigError(
                    f"{name} computes on {len(cores)} of {usable_cores()} cores, beside a live view of its server: "
                    "start `Measure properly` on the view's page, or stop it and measure without --url"
                )


def _joined(cores: Iterable[Iterable[CoreGroup]]) -> CoreGroup:
    return tuple(cpu for kind in cores for core in kind for cpu in core)


def _physical_cores(allowed: Collection[int], cpus: Path) -> list[CoreGroup]:
    """The allowed threads of each physical core, neighbours beside each other."""
    found: dict[tuple[int, CoreGroup], None] = {}
    for cpu in sorted(allowed):
        place = cpus / f"cpu{cpu}/topology"
        siblings = tuple(sorted({cpu, *_listed(place / "thread_siblings_list")} & set(allowed)))
        found[_number(place / "physical_package_id"), siblings] = None
    return [siblings for _, siblings in sorted(found)]


def _number(path: Path) -> int:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def _listed(path: Path) -> set[int]:
    """What a list of the kernel's names: `0-1,8`; nothing where it does not tell."""
    numbers: set[int] = set()
    with suppress(OSError, ValueError):
        for part in path.read_text().strip().split(","):
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers
