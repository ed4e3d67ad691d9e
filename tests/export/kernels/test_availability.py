from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from photofinish.commands.export import export
from photofinish.export.kernels.availability import kernels_problem
from photofinish.flows.export import ExportRequest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("words", "variable", "asked"),
    [([], "", False), ([], "on", True), (["--kernels"], "", True), (["--no-kernels"], "on", False)],
)
def test_they_are_used_where_the_user_asks_for_them(
    words: list[str], variable: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOFINISH_KERNELS", variable)
    requests: list[ExportRequest] = []
    monkeypatch.setattr("photofinish.flows.export.run_export", requests.append)
    result = CliRunner().invoke(export, words)
    assert result.exit_code == 0, result.output
    assert [request.kernels for request in requests] == [asked]


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
