"""Every `photofinish` command line on our pages has a command and flags that exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from photofinish.cli import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
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


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / target).exists(), f"{page} links to {target}"
