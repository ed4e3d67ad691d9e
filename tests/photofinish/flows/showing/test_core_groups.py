"""Halves of a machine's cores: equal, of the same kinds, and no physical core in both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from photofinish.flows.showing import core_groups as module
from photofinish.flows.showing.core_groups import CoreGroup, core_groups, core_halves, model_cores


def machine(folder: Path, physical: list[tuple[str, int, int]]) -> Path:
    """Its cores as the kernel lists them. physical: for each the threads, the package and the highest clock in kHz."""
    for siblings, package, clock in physical:
        for cpu in siblings.replace("-", ",").split(","):
            (folder / f"cpu{cpu}/topology").mkdir(parents=True)
            (folder / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{siblings}\n")
            (folder / f"cpu{cpu}/topology/physical_package_id").write_text(f"{package}\n")
            if clock:
                (folder / f"cpu{cpu}/cpufreq").mkdir()
                (folder / f"cpu{cpu}/cpufreq/cpuinfo_max_freq").write_text(f"{clock}\n")
    return folder


TURBO = [4_800_000, 4_800_000, 4_600_000, 4_600_000]
MACHINES: list[tuple[str, list[tuple[str, int, int]], int, tuple[CoreGroup, CoreGroup]]] = [
    ("a virtual machine says nothing", [], 8, ((0, 1, 2, 3), (4, 5, 6, 7))),
    ("threads far apart", [(f"{n},{n + 4}", 0, 0) for n in range(4)], 8, ((0, 4, 1, 5), (2, 6, 3, 7))),
    ("threads side by side", [(f"{n}-{n + 1}", 0, 0) for n in (0, 2, 4, 6)], 8, ((0, 1, 2, 3), (4, 5, 6, 7))),
    ("two packages, every other core", [(str(n), n % 2, 0) for n in range(8)], 8, ((0, 2, 4, 6), (1, 3, 5, 7))),
    (
        "fast and slow cores",
        [("0-1", 0, 5_000_000), ("2-3", 0, 5_000_000), *((str(n), 0, 3_600_000) for n in range(4, 12))],
        12,
        ((0, 1, 4, 5, 6, 7), (2, 3, 8, 9, 10, 11)),
    ),
    ("a turbo is no kind", [(str(n), 0, clock) for n, clock in enumerate(TURBO)], 4, ((0, 1), (2, 3))),
    ("one core too many", [], 9, ((0, 1, 2, 3), (5, 6, 7, 8))),
    ("one core", [], 1, ((), ())),
]


@pytest.mark.parametrize(
    ("physical", "count", "expected"), [case[1:] for case in MACHINES], ids=[m[0] for m in MACHINES]
)
def test_halves(
    physical: list[tuple[str, int, int]], count: int, expected: tuple[CoreGroup, CoreGroup], tmp_path: Path
) -> None:
    assert core_halves(range(count), machine(tmp_path, physical)) == expected


def test_only_allowed_cores_are_given(tmp_path: Path) -> None:
    cpus = machine(tmp_path, [(f"{n},{n + 4}", 0, 0) for n in range(4)])
    assert core_halves({1, 2, 5, 7}, cpus) == ((2,), (7,)), "of the pair there is no other"


@pytest.mark.parametrize(
    ("cores", "quota", "sizes"),
    [(8, None, (4, 4)), (7, None, None), (16, 9.5, (4, 4)), (64, 4.0, None), (16, 32.0, (8, 8))],
)
def test_whoever_has_too_little_has_no_groups(
    cores: int, quota: float | None, sizes: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(module, "processor_quota", lambda: quota)
    groups = core_groups(tmp_path)
    assert (groups and tuple(map(len, groups))) == sizes
    if groups:
        assert not set(groups[0]) & set(groups[1])


def test_a_model_leaves_a_core_to_its_client() -> None:
    assert model_cores((0, 4, 1, 5)) == (0, 4, 1)
    assert model_cores((1,)) == (1,)
