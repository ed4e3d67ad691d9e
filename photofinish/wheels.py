"""Programs that live inside PyPI wheels: downloaded once, checked, unpacked into the user's cache."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from photofinish.errors import PhotofinishError
from photofinish.machine.disk import CACHE_VARIABLE, user_cache_dir
from photofinish.machine.lock import locked
from photofinish.source_hash import sha256_from_file

"""Environment variable that moves the cache."""

Progress = Callable[[str], None]


class WheelError(PhotofinishError):
    """A wheel cannot be downloaded, is not the pinned one, or cannot be unpacked."""


def print_progress(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def unpacked_wheel(
    requirement: str,
    *,
    sha256: str,
    members: tuple[str, ...] = ("*",),
    cache_dir: Path | None = None,
    on_progress: Progress = print_progress,
) -> Path:
    """The folder that holds the wheel's files; downloaded and unpacked on the first call only.

    requirement: `name==version`. sha256: of the wheel file, in hex. members: shell patterns of the paths to unpack.
    The download runs pip with the user's own configuration. Two processes may call this at once: one works, the
    other waits. Raises WheelError with the remedy.
    """
    cache = cache_dir or user_cache_dir()
    target = wheel_folder(requirement, sha256=sha256, members=members, cache_dir=cache)
    if target.is_dir():
        return target
    try:
        waiting = f"waiting for another process that is downloading {requirement}"
        with locked(target.with_name(f"{target.name}.lock"), waiting=waiting, on_progress=on_progress):
            if target.is_dir():
                return target
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as scratch:
                wheel = _downloaded_wheel(requirement, Path(scratch) / "download", on_progress)
                _check_hash(wheel, sha256, requirement)
                on_progress(f"unpacking {wheel.name}")
                unpacked = Path(scratch) / "unpacked"
                _unpack(wheel, members, unpacked)
                unpacked.rename(target)
    except OSError as exc:
        raise WheelError(
            f"{requirement} cannot be kept in {cache}: {exc}; free some space or set {CACHE_VARIABLE} to another folder"
        ) from exc
    return target


def wheel_folder(
    requirement: str, *, sha256: str, members: tuple[str, ...] = ("*",), cache_dir: Path | None = None
) -> Path:
    """Where `unpacked_wheel` puts these members of the wheel; the folder exists once they are there."""
    key = hashlib.sha256("\n".join((sha256, *sorted(members))).encode()).hexdigest()[:12]
    name = re.sub("[^A-Za-z0-9._-]+", "-", requirement)
    return (cache_dir or user_cache_dir()) / "wheels" / f"{name}-{key}"


def _downloaded_wheel(requirement: str, folder: Path, on_progress: Progress) -> Path:
    on_progress(f"downloading {requirement} with pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--progress-bar", _progress_style(), "--disable-pip-version-check", "--dest", str(folder), requirement]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        lines = _read_progress(pip, requirement, on_progress)
    if pip.returncode:
        complaint = next((line for line in reversed(lines) if "ERROR" in line or "No module" in line), "")
        complaint = complaint or (lines[-1] if lines else "no output")
        raise WheelError(
            f"{requirement} could not be downloaded: pip said {complaint.strip()!r}; check the network and "
            f"`{Path(sys.executable).name} -m pip config list`, or install pip with `pip install 'photofinish[server]'`"
        )
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise WheelError(f"pip left {[wheel.name for wheel in wheels]} for {requirement}, expected one wheel")
    return wheels[0]


def _progress_style() -> str:
    """How pip shall report bytes: in its machine-readable form, which pip has since 24.1, or not at all."""
    try:
        version = tuple(int(part) for part in importlib.metadata.version("pip").split(".")[:2])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return "off"
    return "raw" if version >= (24, 1) else "off"


def _read_progress(pip: subprocess.Popen[str], requirement: str, on_progress: Progress) -> list[str]:
    """Pass pip's byte counts on, at most once per tenth; return the other lines."""
    lines: list[str] = []
    told_tenths = 0
    for line in pip.stdout or ():
        if not (counts := re.fullmatch(r"Progress (\d+) of (\d+)\s*", line)):
            lines.append(line)
            continue
        done, total = (int(count) for count in counts.groups())
        if total and done * 10 // total > told_tenths:
            told_tenths = done * 10 // total
            on_progress(f"downloading {requirement}: {done / 2**20:.0f} of {total / 2**20:.0f} MiB")
    return lines


def _check_hash(wheel: Path, sha256: str, requirement: str) -> None:
    found = sha256_from_file(wheel)
    if found != sha256:
        raise WheelError(
            f"{wheel.name} has SHA-256 {found}, expected {sha256}; the package index did not serve the pinned "
            f"{requirement}: check which index pip uses"
        )


def _unpack(wheel: Path, members: tuple[str, ...], target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            chosen = [name for name in archive.namelist() if any(fnmatch.fnmatch(name, item) for item in members)]
            if not chosen:
                raise WheelError(f"{wheel.name} holds nothing that matches {list(members)}")
            for name in chosen:
                unpacked = Path(archive.extract(name, target))
                if unpacked.is_file() and _is_program(unpacked):
                    unpacked.chmod(0o755)
    except zipfile.BadZipFile as exc:
        raise WheelError(f"{wheel.name} is not a wheel: {exc}") from exc


def _is_program(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(4) == b"\x7fELF"
