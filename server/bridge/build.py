"""The bridge between Triton and the model processes, compiled once on this machine and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from photofinish.machine.lock import locked
from photofinish.wheels import user_cache_dir

SWITCH = "PHOTOFINISH_BRIDGE"
"""Environment variable: "off" serves by Triton's own Python backend instead."""
SOURCES = Path(__file__).resolve().parent
GUARD = "libphotofinish_guard.so"
"""The library beside the bridge's by which a model process survives clients' memory that goes while it is read."""
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-Wl,-z,nodelete")
"""Never unloaded: a handler of signals in it stays installed."""
COMPILE_TIMEOUT_S = 120


def bridge_library(on_progress: Callable[[str], None]) -> Path | None:
    """The compiled bridge; None, with the reason told, where it is switched off or cannot be compiled.

    Without it Triton's Python backend runs the same models, at some 0.2 ms more a request.
    """
    if os.environ.get(SWITCH) == "off":
        on_progress(f"{SWITCH}=off: the models run in Triton's Python backend")
        return None
    compiler = find_compiler()
    if compiler is None:
        on_progress(
            "no C++ compiler found: the models run in Triton's Python backend, at some 0.2 ms more a request "
            "(Debian, Ubuntu: apt install g++)"
        )
        return None
    folder = user_cache_dir() / "bridge" / _key(compiler)
    library = folder / "libtriton_photofinish.so"
    try:
        waiting = "another process compiles the bridge; waiting for it"
        with locked(folder / "lock", waiting=waiting, on_progress=on_progress):
            if not library.is_file():
                on_progress("compiling the bridge between Triton and the models (once)")
                _compile(compiler, library)
    except (OSError, subprocess.SubprocessError) as exc:
        said = getattr(exc, "stderr", None) or exc
        reason = next((line for line in str(said).splitlines() if "error" in line.lower()), str(exc))
        on_progress(f"the bridge cannot be compiled ({reason}): the models run in Triton's Python backend")
        return None
    return library


def find_compiler() -> str | None:
    """A C++ compiler: $CXX, or the first of the usual names on PATH."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((name for name in names if name and shutil.which(shlex.split(name)[0])), None)


def _key(compiler: str) -> str:
    digest = hashlib.sha256(" ".join((compiler, *FLAGS)).encode())
    for source in sorted((*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h"))):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _compile(compiler: str, library: Path) -> None:
    """Write the bridge's library, and the guard's before it, whole or not at all."""
    every = sorted(str(path) for path in SOURCES.glob("*.cpp"))
    with tempfile.TemporaryDirectory(dir=library.parent) as name:
        for target, sources in ((library.with_name(GUARD), [str(SOURCES / "guard.cpp")]), (library, every)):
            built = Path(name) / target.name
            subprocess.run(
                [*shlex.split(compiler), *FLAGS, *sources, "-o", str(built), "-ldl"],
                check=True,
                capture_output=True,
                text=True,
                timeout=COMPILE_TIMEOUT_S,
            )
            built.replace(target)
