"""The bridge between Triton and the model processes, compiled once on this machine and kept in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from photofinish.machine.compiler import CompileError, compiled_libraries, find_compiler
from photofinish.machine.disk import user_cache_dir

SWITCH = "PHOTOFINISH_BRIDGE"
"""Environment variable: "off" serves by Triton's own Python backend instead."""
SOURCES = Path(__file__).resolve().parent
BRIDGE = "libtriton_photofinish.so"
GUARD = "libphotofinish_guard.so"
"""The library beside the bridge's by which a model process survives clients' memory that goes while it is read."""
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-Wl,-z,nodelete")
"""Never unloaded: a handler of signals in it stays installed."""


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
    try:
        folder = compiled_libraries(
            "bridge",
            {GUARD: [SOURCES / "guard.cpp"], BRIDGE: sorted(SOURCES.glob("*.cpp"))},
            FLAGS,
            cache=user_cache_dir(),
            compiler=compiler,
            telling="compiling the bridge between Triton and the models (once)",
            on_progress=on_progress,
        )
    except CompileError as exc:
        on_progress(f"the bridge cannot be compiled ({exc}): the models run in Triton's Python backend")
        return None
    return folder / BRIDGE
