"""Kernels run without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def interpreted() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs what interpreted.py names in Triton's interpreter, all of it side by side; the answers of one."""
    line = [sys.executable, "-m", "tests.export.kernels.interpreted"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        runs = {}
        for name in ("layers", "rows", "blocks"):
            run = subprocess.Popen(
                [*line, name], env=environment, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            stack.enter_context(run)
            stack.callback(run.kill)
            runs[name] = run

        def answers(name: str) -> dict[str, Any]:
            said, problems = runs[name].communicate(timeout=280)
            assert runs[name].returncode == 0, problems[-2000:]
            found: dict[str, Any] = json.loads(said.splitlines()[-1])
            return found

        yield answers
