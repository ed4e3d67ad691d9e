"""The bridge's own C++, compiled for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.server.bridge.sanitized import Compile, compile_program


@pytest.fixture(scope="session")
def compile_sanitized(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    folder = tmp_path_factory.mktemp("sanitized")

    def compile_here(program: str, *sources: str, beside: Sequence[str] = ()) -> Path:
        return compile_program(folder, program, sources, beside)

    return compile_here
