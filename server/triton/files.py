"""Where the pinned Triton server comes from: an environment variable, site-packages, or the wheel in the cache."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photofinish.errors import ServerError
from photofinish.wheels import unpacked_wheel, wheel_folder

TRITON_REQUIREMENT = "nvidia-pytriton==0.7.0"
TRITON_SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
TRITON_VERSION = "2.51.0"
TRITON_DIR_VARIABLE = "PHOTOFINISH_TRITON_DIR"
"""Environment variable: a folder that holds `pytriton/tritonserver` and `nvidia_pytriton.libs`."""
MIN_GLIBC = (2, 35)
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13")
"""Python versions that the wheel has a stub for and Photofinish supports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonFiles:
    """The server's files. root: the folder that holds `pytriton/` and `nvidia_pytriton.libs/`."""

    root: Path
    libpython: Path

    @property
    def binary(self) -> Path:
        """The tritonserver program."""
        return self.root / "pytriton/tritonserver/bin/tritonserver"

    @property
    def libraries(self) -> Path:
        """The folder of shared libraries the program is linked with."""
        return self.root / "nvidia_pytriton.libs"

    @property
    def python_backend(self) -> Path:
        """The folder of Triton's own Python backend."""
        return self.root / "pytriton/tritonserver/backends/python"

    @property
    def stub(self) -> Path:
        """The program that runs a Python model, for the running Python."""
        return self.root / f"pytriton/tritonserver/python_backend_stubs/{python_version()}/triton_python_backend_stub"


def python_version() -> str:
    """The running Python as `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find_triton(on_progress: Callable[[str], None]) -> TritonFiles:
    """The server's files, downloaded if need be. Raises ServerError when this machine cannot run it."""
    check_platform()
    libpython = find_libpython()
    if files := triton_on_disk(libpython):
        return files
    root = unpacked_wheel(
        TRITON_REQUIREMENT, sha256=TRITON_SHA256, members=wheel_members(python_version()), on_progress=on_progress
    )
    return TritonFiles(root=root, libpython=libpython)


def triton_on_disk(libpython: Path) -> TritonFiles | None:
    """The server's files from $PHOTOFINISH_TRITON_DIR, site-packages or the cache; None when they are in none."""
    if chosen := os.environ.get(TRITON_DIR_VARIABLE):
        files = TritonFiles(root=Path(chosen), libpython=libpython)
        if not _is_complete(files):
            raise ServerError(
                f"{TRITON_DIR_VARIABLE}={chosen} holds no tritonserver with a stub for Python {python_version()}; "
                "point it at the folder that holds pytriton/ and nvidia_pytriton.libs/, or unset it"
            )
        return files
    cached = wheel_folder(TRITON_REQUIREMENT, sha256=TRITON_SHA256, members=wheel_members(python_version()))
    for folder in (Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib")), cached):
        files = TritonFiles(root=folder, libpython=libpython)
        if _is_complete(files):
            return files
    return None


def wheel_members(version: str) -> tuple[str, ...]:
    """Patterns of the files in the wheel that serving with one Python version needs."""
    return (
        "pytriton/tritonserver/bin/tritonserver",
        "pytriton/tritonserver/backends/python/*",
        f"pytriton/tritonserver/python_backend_stubs/{version}/*",
        "nvidia_pytriton.libs/*",
        "nvidia_pytriton-*.dist-info/licenses/*",
    )


def _is_complete(files: TritonFiles) -> bool:
    return files.binary.is_file() and files.stub.is_file() and files.libraries.is_dir()


def check_platform() -> None:
    """Raise ServerError unless the pinned server runs on this machine's system and Python."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise ServerError(
            f"the embedded server runs on x86-64 Linux, found {sys.platform} on {platform.machine()}; "
            "use the container (docker compose up) on another machine and pass its --url"
        )
    if python_version() not in PYTHON_VERSIONS:
        raise ServerError(
            f"the embedded server has stubs for Python {', '.join(PYTHON_VERSIONS)}, found {python_version()}; "
            "create the virtual environment with one of those"
        )
    found = glibc_version()
    if found < MIN_GLIBC:
        raise ServerError(
            f"the embedded server needs glibc {MIN_GLIBC[0]}.{MIN_GLIBC[1]} or newer, found "
            f"{'.'.join(map(str, found)) or 'another C library'}; use Ubuntu 22.04, Debian 12 or newer"
        )


def glibc_version() -> tuple[int, ...]:
    """The running glibc, e.g. (2, 36); () for another C library."""
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    return tuple(int(part) for part in re.findall(r"\d+", version)) if name == "glibc" else ()


def find_libpython() -> Path:
    """The shared libpython of the running Python, which the stub is linked with. Raises ServerError without one."""
    name = f"libpython{python_version()}.so.1.0"
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    folders = (
        sysconfig.get_config_var("LIBDIR"),
        f"{sys.base_prefix}/lib",
        f"/usr/lib/{multiarch}",
        "/usr/local/lib",
        "/usr/lib64",
        "/usr/lib",
    )
    for folder in folders:
        if folder and (candidate := Path(folder) / name).is_file():
            return candidate
    if (loaded := ctypes.util.find_library(f"python{python_version()}")) and loaded == name:
        return Path(name)
    raise ServerError(
        f"no shared {name} found (looked in {', '.join(dict.fromkeys(filter(None, folders)))}), which Triton's Python "
        f"backend needs; install it (Debian, Ubuntu: apt install libpython{python_version()}) or use a Python built "
        "with --enable-shared, such as uv's"
    )
