"""Programs of the bridge's own C++ and a client, compiled with sanitizers for addresses and undefined behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from photofinish.machine.compiler import built_from_sources, find_compiler
from photofinish.server.bridge.build import SOURCES

HERE = Path(__file__).resolve().parent
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
SANITIZED_SECONDS = 120.0


class Compile(Protocol):
    """`compile_program` into a folder of the test session's."""

    def __call__(self, program: str, *sources: str, beside: Sequence[str] = ()) -> Path:
        """The program."""


def compile_program(folder: Path, program: str, sources: Sequence[str], beside: Sequence[str] = ()) -> Path:
    """The program of this folder, with others `beside` it, and the bridge's sources, by pattern.

    It ends with an error at the first fault that a sanitizer finds.
    """
    if (compiler := find_compiler()) is None:
        pytest.skip("no C++ compiler here")
    own = [path for pattern in sources for path in sorted(SOURCES.glob(pattern))]
    paths = [*(HERE / name for name in (program, *beside)), *own]
    built = folder / Path(program).stem
    built_from_sources(compiler, ("-std=c++17", "-O0", "-g1", *SANITIZE, f"-I{SOURCES}", "-pthread"), paths, built)
    return built
