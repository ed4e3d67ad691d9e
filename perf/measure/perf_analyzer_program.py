"""NVIDIA's perf_analyzer: the one on PATH, else the one inside a tritonclient wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from photofinish.machine.disk import user_cache_dir
from photofinish.perf.record.changes import NotRunError
from photofinish.wheels import print_progress, unpacked_wheel

Progress = Callable[[str], None]


class PerfAnalyzerError(NotRunError):
    """perf_analyzer cannot be had, did not run, or wrote something else than expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wheel:
    """A tritonclient wheel that carries the program, and what it was linked with."""

    version: str
    sha256: str
    min_glibc: tuple[int, int]
    bundled_libraries: tuple[str, ...] = ()


_WHEELS = (
    _Wheel(
        version="2.60.0",
        sha256="778ef1561092be6b3ef65a4b0f2f3c641263703ac0f43ddf4a172c5a9bfb8cd7",
        min_glibc=(2, 38),
    ),
    _Wheel(
        version="2.50.0",
        sha256="421fbb69ae6ab8cdb2c35b82134fcef2fe11e7af7718b1fcbc53335ab9bfe889",
        min_glibc=(2, 35),
        bundled_libraries=("libb64.so.0d", "libcudart.so.12"),
    ),
)
"""Newest first. Later tritonclient wheels carry no perf_analyzer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfAnalyzer:
    """The program. origin: where it came from, for the report. environment: what must be added to run it."""

    path: Path
    origin: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def full_environment(self) -> dict[str, str]:
        """The environment to start it in."""
        return {**os.environ, **self.environment}


def find_perf_analyzer(
    triton_libraries: Callable[[], Path], *, cache_dir: Path | None = None, on_progress: Progress = print_progress
) -> PerfAnalyzer:
    """perf_analyzer, downloaded if need be. Raises PerfAnalyzerError when this machine cannot run it.

    triton_libraries: gives the folder of shared libraries of the pinned Triton wheel, whose copies of libb64 and
    libcudart stand in for the system's; called only when they are needed.
    """
    if found := shutil.which("perf_analyzer"):
        return PerfAnalyzer(path=Path(found), origin="PATH")
    glibc = glibc_version()
    wheel = next((item for item in _WHEELS if glibc >= item.min_glibc), None)
    if wheel is None:
        oldest = _WHEELS[-1].min_glibc
        raise PerfAnalyzerError(
            f"perf_analyzer needs glibc {oldest[0]}.{oldest[1]} or newer, found "
            f"{'.'.join(map(str, glibc)) or 'another C library'}; put a perf_analyzer of your own on PATH"
        )
    requirement = f"tritonclient=={wheel.version}"
    member = f"tritonclient-{wheel.version}.data/data/bin/perf_analyzer"
    folder = unpacked_wheel(
        requirement, sha256=wheel.sha256, members=(member,), cache_dir=cache_dir, on_progress=on_progress
    )
    environment: dict[str, str] = {}
    if wheel.bundled_libraries:
        links = linked_libraries(wheel.bundled_libraries, triton_libraries(), cache_dir or user_cache_dir())
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(links), os.environ.get("LD_LIBRARY_PATH"))))
    program = PerfAnalyzer(path=folder / member, origin=requirement, environment=environment)
    _check_starts(program)
    return program


def linked_libraries(names: tuple[str, ...], bundle: Path, cache: Path) -> Path:
    """A folder of links named as the program wants them, to the renamed copies in a wheel's bundle.

    `auditwheel` renames what it bundles: libb64.so.0d lies there as libb64-98cb6333.so.0d.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / "perf_analyzer_libraries"
    scratch = Path(tempfile.mkdtemp(prefix=".links-", dir=cache))
    try:
        for name in names:
            stem, _, suffix = name.partition(".so")
            copies = sorted(bundle.glob(f"{stem}-*.so{suffix}*")) or sorted(bundle.glob(f"{name}*"))
            if not copies:
                raise PerfAnalyzerError(
                    f"{bundle} has no copy of {name}, which perf_analyzer needs; install it with the system's package "
                    "manager and put perf_analyzer on PATH"
                )
            (scratch / name).symlink_to(copies[0].resolve())
        if folder.is_dir() and all((folder / name).exists() for name in names):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
        return folder
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def glibc_version() -> tuple[int, ...]:
    """The running glibc, e.g. (2, 36); () for another C library."""
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    return tuple(int(part) for part in re.findall(r"\d+", version)) if name == "glibc" else ()


def _check_starts(program: PerfAnalyzer) -> None:
    try:
        done = subprocess.run(
            [str(program.path), "--version"],
            env=program.full_environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise PerfAnalyzerError(f"{program.path} does not start: {exc}; put a perf_analyzer on PATH") from exc
    if "Perf Analyzer" not in done.stdout + done.stderr:  # its exit status is 1 even then
        complaint = (done.stderr or done.stdout).strip().splitlines()
        raise PerfAnalyzerError(
            f"{program.path} does not start: {complaint[-1] if complaint else f'exit {done.returncode}'}; "
            "install the library it names, or put a perf_analyzer of your own on PATH"
        )
