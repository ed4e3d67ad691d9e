"""Plans of cameras in the pages: blocks of a command and what it prints, drawn again by the command itself.

python -m tests.docs.plans docs/cameras-a10.md        writes what the commands print today
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from click.testing import CliRunner

from photofinish.cli import cli

BLOCK = re.compile(r"^```console\n\$ photofinish (perf cameras --plan.*)\n(?:.*\n)*?```$", re.MULTILINE)


def redrawn(text: str) -> str:
    """The page with every plan in it as its command prints it now."""
    return BLOCK.sub(lambda block: f"```console\n$ photofinish {block[1]}\n{printed(block[1])}```", text)


def printed(command: str) -> str:
    ran = CliRunner().invoke(cli, shlex.split(command), catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(redrawn(path.read_text(encoding="utf-8")), encoding="utf-8")
