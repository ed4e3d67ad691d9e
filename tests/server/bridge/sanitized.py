"""Programs of the bridge's own C++ and a client, compiled with sanitizers for addresses and undefined behaviour."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from photofinish.machine.compiler import find_compiler
from photofinish.server.bridge.build import SOURCES

HERE = Path(__file__).resolve().parent
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
Compile = Callable[..., Path]
"""Compile(program of this folder, sources of the bridge...) -> the program."""


def compile_program(folder: Path, program: str, *sources: str) -> Path:
    """The program, which ends with an error at the first fault that a sanitizer finds."""
    if (compiler := find_compiler()) is None:
        pytest.skip("no C++ compiler here")
    paths = [str(HERE / program), *(str(SOURCES / source) for source in sources)]
    built = folder / Path(program).stem
    line = [*shlex.split(compiler), "-std=c++17", "-O1", "-g", *SANITIZE, f"-I{SOURCES}", *paths, "-pthread", "-ldl"]
    subprocess.run([*line, "-o", str(built)], check=True, timeout=300)
    return built
