"""Every requirement has a pin, and the images install what there is."""

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


def test_the_images_install_extras_that_there_are() -> None:
    """pip warns of an extra that nobody declares, and goes on: MQTT would be missing in the container alone."""
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dockerfile = (CHECKOUT / "server" / "container" / "Dockerfile").read_text(encoding="utf-8")
    named = [set(found.split(",")) for found in re.findall(r'--editable "\.\[([\w,-]+)\]"', dockerfile)]
    assert len(named) == 2
    assert set.union(*named) <= set(document["optional-dependencies"])


def test_both_builds_of_onnx_runtime_have_the_version_that_the_image_exchanges() -> None:
    """The Dockerfile takes the last pin of onnxruntime for onnxruntime-gpu."""
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    *_, last = (line.split("==")[1].split()[0] for line in lines if line.startswith("onnxruntime=="))
    assert any(line.startswith(f"onnxruntime-gpu=={last} ") for line in lines)


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9-]+", requirement)
    return found[0].lower() if found else ""
