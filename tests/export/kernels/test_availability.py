from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from photofinish.export.kernels.availability import SWITCH, kernels_problem, kernels_wanted

CHECKOUT = Path(__file__).resolve().parents[3]


def test_they_are_used_where_the_user_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert not kernels_wanted()
    monkeypatch.setenv(SWITCH, "on")
    assert kernels_wanted()


def test_why_not_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert kernels_problem("cuda") == kernels_problem("cpu") == "they need an NVIDIA GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert kernels_problem("cuda") == "they need compute capability 8.0, this GPU has 7.5"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (12, 0))
    assert kernels_problem("cuda") == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "without Triton" in kernels_problem("cuda")


def test_an_export_that_does_not_use_them_imports_no_triton() -> None:
    code = (
        "import sys\n"
        "from photofinish.export.recipes.aoti import build_aoti_fp16\n"
        "from photofinish.export.recipes.table import RECIPES\n"
        "sys.exit(any(name.startswith('photofinish.export.kernels.la') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=False).returncode == 0
