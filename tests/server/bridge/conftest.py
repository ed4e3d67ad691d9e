"""The bridge's own C++, compiled for tests."""

from __future__ import annotations

import pytest

from tests.server.bridge.sanitized import Compile, compile_program


@pytest.fixture(scope="session")
def compile_sanitized(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    folder = tmp_path_factory.mktemp("sanitized")
    return lambda program, *sources: compile_program(folder, program, *sources)
