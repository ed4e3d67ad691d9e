"""Kernels run without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def interpreted() -> Callable[[str], dict[str, Any]]:
    """Runs what interpreted.py names in Triton's interpreter; its answers."""

    def run(name: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.export.kernels.interpreted", name],
            env={**os.environ, "TRITON_INTERPRET": "1"},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run
