"""Commands parse, call one function and print; every option has a parameter of that function."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from typing import Any

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from tests.conftest import CHECKOUT

MAX_LINES = 19
CALLED = {
    "calibrate synthetic": "photofinish.client.calibrate.run:collect_into",
    "demo": "photofinish.flows.demo:run_demo",
    "detect synthetic": "photofinish.flows.detect:run_detect",
    "export": "photofinish.flows.export:run_export",
    "perf engine": "photofinish.flows.measure:measure_artifacts",
    "serve": "photofinish.server.triton.embedded:EmbeddedServer",
    "train-demo": "photofinish.export.demo.train:train_demo_detector",
    "ui": "photofinish.flows.view:show_server",
}
"""A command line, and the function that gets its options without naming them."""


def command_functions() -> dict[str, int]:
    """Lines of every function that click calls, from `def` on, by module and name."""
    found = {}
    for path in sorted((CHECKOUT / "photofinish" / "commands").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names = {ast.unparse(item).partition("(")[0].rpartition(".")[2] for item in node.decorator_list}
                if names & {"command", "group"}:
                    found[f"{path.stem}.{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    return found


def test_a_command_is_under_20_lines() -> None:
    lengths = command_functions()
    assert {"demo.demo", "export.export", "perf.standard", "train_demo.train_demo"} <= set(lengths)
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


@pytest.mark.parametrize("line", sorted(CALLED))
def test_every_option_has_a_parameter(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, name = CALLED[line].partition(":")
    signature = inspect.signature(getattr(import_module(module), name))
    taken: list[inspect.BoundArguments] = []

    def take(*values: Any, **options: Any) -> None:
        taken.append(signature.bind(*values, **options))
        raise SystemExit

    monkeypatch.setattr(f"{module}.{name}", take)
    done = CliRunner().invoke(cli, line.split(), standalone_mode=False)
    assert taken, done.exception
