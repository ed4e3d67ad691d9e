"""The import arrows, module sizes and the one place that composes the folders."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = {"export", "server", "client", "perf"}
"""Folders beside `photofinish/`; their modules are imported as `photofinish.<folder>`."""
OURS = {"photofinish", *ROOMS}
MAY_IMPORT = {
    "photofinish": {"photofinish"},
    "export": {"photofinish", "export"},
    "server": {"photofinish", "server"},
    "client": {"photofinish", "client"},
    "perf": {"photofinish", "client", "perf"},
}
ONLY_HERE = {
    "ultralytics": {"export"},
    "tritonclient": {"client"},
    "gradio": {"client"},
}
HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "openvino",
    "tritonclient",
    "gradio",
    "ultralytics",
}
VOCABULARY_MAY_IMPORT = {"numpy", "cv2", "click", "tomli", "tqdm"}


def modules(folder: str) -> list[Path]:
    found = (path for path in (CHECKOUT / folder).rglob("*.py") if "__pycache__" not in path.parts)
    if folder != "photofinish":
        return sorted(found)
    # The rooms are links there.
    return sorted(path for path in found if path.relative_to(CHECKOUT / folder).parts[0] not in ROOMS)


def room_from_import(name: str) -> str:
    """The folder that an imported module lies in, or the library's name."""
    parts = name.split(".")
    return parts[1] if parts[0] == "photofinish" and len(parts) > 1 and parts[1] in ROOMS else parts[0]


def imported_roots(path: Path, *, top_level_only: bool = False) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.iter_child_nodes(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, room_from_import(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, room_from_import(f"{node.module}.{alias.name}")


@pytest.mark.parametrize("folder", sorted(OURS))
def test_folders_import_only_along_the_arrows(folder: str) -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {root}"
        for path in modules(folder)
        if (CHECKOUT / "photofinish" / "commands") not in path.parents
        for line, root in imported_roots(path)
        if root in OURS - MAY_IMPORT[folder]
    ]
    assert not wrong


def test_backends_import_nothing_of_ours() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {root}"
        for path in modules("server/backends")
        for line, root in imported_roots(path)
        if root in OURS
    ]
    assert not wrong


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_room_is_imported_by_its_bare_name(room: str) -> None:
    """In a wheel there is no `perf` beside `photofinish`; in a checkout both names would load the module twice."""
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for folder in (*sorted(OURS), "tests", "experiments")
        for path in modules(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(rf"\s*(from|import) {room}(\.|\s|$)", line)
    ]
    assert not wrong


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_library_stays_in_its_folder(library: str) -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line}"
        for folder in sorted(OURS)
        for path in modules(folder)
        for line, root in imported_roots(path)
        if root == library and folder not in ONLY_HERE[library]
    ]
    assert not wrong


def test_the_vocabulary_needs_only_the_base_install() -> None:
    import sys

    allowed = VOCABULARY_MAY_IMPORT | set(sys.stdlib_module_names) | {"photofinish"}
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {root}"
        for path in modules("photofinish")
        if (CHECKOUT / "photofinish" / "commands") not in path.parents
        for line, root in imported_roots(path)
        if root not in allowed
    ]
    assert not wrong


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(CHECKOUT)): count
        for folder in sorted(OURS)
        for path in modules(folder)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, "a module over 400 lines does more than one thing"


def test_every_requirement_has_a_pin() -> None:
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = document["optional-dependencies"].values()
    wanted = {_name(line) for line in (*document["dependencies"], *(line for extra in extras for line in extra))}
    pinned = {_name(line) for line in (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert wanted - pinned - {"photofinish", "pip"} == set(), "CONTRIBUTING.md has the command that renews the pins"


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9-]+", requirement)
    return found[0].lower() if found else ""
