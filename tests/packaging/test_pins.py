"""Every requirement has a pin."""

from __future__ import annotations

import re
import sys

from tests.conftest import CHECKOUT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_every_requirement_has_a_pin() -> None:
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = document["optional-dependencies"].values()
    wanted = {_name(line) for line in (*document["dependencies"], *(line for extra in extras for line in extra))}
    pinned = {_name(line) for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert wanted - pinned - {"photofinish", "pip"} == set(), "CONTRIBUTING.md has the command that renews the pins"


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9-]+", requirement)
    return found[0].lower() if found else ""
