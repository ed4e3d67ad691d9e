"""Every path and module that a text names is there: pages, scripts, docstrings and comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize

import pytest

from tests.docs.pages import CHECKOUT, markdown_pages, read, tracked_files

HISTORY = {"CHANGELOG.md"}
"""Pages that tell what a thing was called before."""
FOREIGN = {"malloc.h", "owner.py", "utils.py"}
"""The C library's, one that a test writes, and the one that we do not have."""
_ROOMS = "photofinish|client|server|export|perf|experiments|tests|docs|deploy|results"
_WRITTEN = re.compile(r"results/gpu_")
"""What experiments write: named in the texts, not committed."""
_PATH = re.compile(rf"(?<![\w./<-])(?:{_ROOMS})/(?:[\w*.-]+/)*[\w*.-]*")
_FILE = re.compile(r"(?<![\w./<*-])(?:[a-z_0-9]+/)*[a-z_0-9]+\.(?:py|sh|cpp|h)\b(?!\()")
_MODULE = re.compile(r"(?<![\w./-])(?:photofinish|experiments|tests)(?:\.[A-Za-z_]\w*)+(?![\w/])")
_DATA = re.compile(r"\.(?:json|toml|yml|jpg|png|egg|dev|whl)\b")
"""What makes `photofinish.yml` a file and no module."""


def said_in(name: str, text: str) -> str:
    """What of a file is said to people: all of a page or script, docstrings and comments of code."""
    if name.endswith(".py"):
        values = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
        docstrings = [str(value.value) for value in values if isinstance(value, ast.Constant)]
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return "\n".join([*docstrings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])
    if name.endswith((".cpp", ".h")):
        return "\n".join(re.findall(r"//.*", text))
    return text


def path_exists(path: str) -> bool:
    """A file or folder of the checkout; `*` stands for anything."""
    return bool(_WRITTEN.match(path)) or any(True for _ in CHECKOUT.glob(path.rstrip("/")))


def module_exists(name: str) -> bool:
    """A module, a package, or a name that a module or package holds."""
    place, parts = CHECKOUT, name.split(".")
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if not parts:
        return True
    if (place / f"{parts[0]}.py").is_file():
        source = (place / f"{parts.pop(0)}.py").read_text(encoding="utf-8")
    else:
        source = (place / "__init__.py").read_text(encoding="utf-8") if (place / "__init__.py").is_file() else ""
    return not parts or bool(re.search(rf"\b{parts[0]}\b", source))


def missing_names(text: str, files: set[str]) -> list[str]:
    """Paths, files and modules that the text names and that are not there. files: as `file_tails` gives them."""
    paths = {path.rstrip(".-") for path in _PATH.findall(text)}
    wrong = {path for path in paths if not path_exists(path)}
    wrong |= set(_FILE.findall(text)) - files - FOREIGN
    wrong |= {name for name in _MODULE.findall(text) if not _DATA.search(name) and not module_exists(name)}
    return sorted(wrong)


def file_tails() -> set[str]:
    """Every file's path, from each of its folders on: `perf/report/html.py`, `report/html.py`, `html.py`."""
    parts = [name.split("/") for name in tracked_files()]
    return {"/".join(path[start:]) for path in parts for start in range(len(path))}


@pytest.mark.parametrize("kind", [(".md",), (".py",), (".cpp", ".h"), ("",)], ids=["pages", "code", "bridge", "others"])
def test_what_the_texts_name_exists(kind: tuple[str, ...]) -> None:
    seen = [".md", ".py", ".cpp", ".h"]
    others = tracked_files(
        "*.sh", "*.toml", "*.yml", "docs/*.ipynb", "Makefile", "*/Dockerfile", ".ci/run", ".env.example"
    )
    code = tracked_files(*(f"*{ending}" for ending in seen[1:]))
    named = {*markdown_pages(), *others, *code} - HISTORY
    sources = [name for name in sorted(named) if (name.endswith(kind) if kind != ("",) else name in others)]
    files = file_tails()
    missing = {name: found for name in sources if (found := missing_names(said_in(name, read(name)), files))}
    assert len(sources) > 5
    assert not missing


def test_a_name_that_is_not_there_is_found() -> None:
    gone = "perf/judge/gone.py perf/gone/ judge/gone.py gone.py photofinish.perf.gone photofinish.cli.gone_too"
    there = "results/cpu2_*.md photofinish/letterbox.py judge/verdict.py letterbox.py deploy/prometheus.yml"
    more = "photofinish.cli photofinish.cli:main photofinish.letterbox.Letterbox https://example.org/docs/a.py"
    text = f"`results/cpu2_gone.json`, {gone}. {there}, {more}"
    assert missing_names(text, file_tails()) == [
        "gone.py",
        "judge/gone.py",
        "perf/gone/",
        "perf/judge/gone.py",
        "photofinish.cli.gone_too",
        "photofinish.perf.gone",
        "results/cpu2_gone.json",
    ]
    assert said_in("cli.py", '"""Says cli.py."""\nx = "b"  # not doctor.py\n') == "Says cli.py.\n# not doctor.py"
    assert said_in("bridge.cpp", 'int x;  // see lane.h\nauto y = "b";') == "// see lane.h"
