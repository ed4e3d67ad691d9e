"""Every `photofinish` command line on our pages has a command and flags that exist."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from photofinish.cli import cli
from photofinish.variant import variants_from_toml

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
PAGES = ("tensorrt.md", "rtx5070.md", "colab.md", "colab.ipynb", "deploy.md")
_COMMAND = re.compile(r"(?:^|[`!/ ])photofinish ([a-z]+)((?: (?!&&)[^`\n#|]*)?)", flags=re.MULTILINE)


def text_of(page: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    # Commands stand in code: indented fences, or between back-ticks.
    fences = re.findall(r"^```(?:bash)?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fences, *(f"`{code}`" for code in re.findall(r"`([^`\n]+)`", text))])


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_the_page_exist(page: str) -> None:
    context = click.Context(cli)
    found = _COMMAND.findall(text_of(page))
    for name, arguments in found:
        command = cli.get_command(context, name)
        assert command is not None, f"{page}: there is no `photofinish {name}`"
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        flags = {word.split("=")[0] for word in shlex.split(arguments.rstrip("…. ")) if word.startswith("--")}
        assert flags <= known, f"{page}: `photofinish {name}` has no {sorted(flags - known)}"
    if page != "deploy.md":
        assert found


@pytest.mark.parametrize("page", PAGES)
def test_variants_on_the_page_are_defined(page: str) -> None:
    suffixes = {variant.suffix for variant in variants_from_toml(CHECKOUT / "variants.toml", model="toy")}
    named = re.findall(r"--(?:variant|optimised|baseline)[ =]([\w.-]+)", text_of(page))
    assert set(named) <= suffixes


@pytest.mark.parametrize("page", PAGES)
def test_targets_modules_and_files_on_the_page_exist(page: str) -> None:
    text = text_of(page)
    targets = set(re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", text)) <= targets
    for module in re.findall(r"python3? -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), f"{page}: there is no module {module}"
    for path in re.findall(r"\b((?:results|perf|export|tests|docs)/[\w./-]+\.\w+)", text):
        assert (CHECKOUT / path).exists(), f"{page}: there is no {path}"


def test_cells_of_the_notebook_are_python() -> None:
    cells = json.loads((DOCS / "colab.ipynb").read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = [line for line in "".join(cell["source"]).splitlines() if not line.startswith(("!", "%"))]
            ast.parse("\n".join(lines))


def test_messages_in_the_tables_are_ones_that_the_code_says() -> None:
    """The words between the dots of `… cannot read …` stand in one string of the code each."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("export", "server", "photofinish")
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
    )
    for page, heading in (("tensorrt.md", "## When something is refused"), ("rtx5070.md", "## When it does not work")):
        table = (DOCS / page).read_text(encoding="utf-8").partition(heading)[2]
        for message in re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE):
            for part in MASKED.split(message):
                words = part.strip(" :…")
                assert words in code, f"{page}: no message of ours has {words!r} in it"


MASKED = re.compile(
    r"…|\b(?:NVIDIA GeForce RTX 5070|sm90|fp16|fp32|X|Y|tensorrt_rtx|1\.7\.1\.116|torch|ONNX Runtime|model)\b"
)
"""What stands for something else in the messages of the tables."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), f"{page} links to {target}"
