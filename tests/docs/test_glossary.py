"""The last column of the glossary holds names that the code has."""

from __future__ import annotations

import re

from tests.docs.pages import is_table_row, read, tracked_files

_CLASS = re.compile(r"^(?:class|struct) (\w+)", flags=re.MULTILINE)


def names_in_code(text: str) -> dict[str, list[str]]:
    """The code names of each term."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if is_table_row(line)]
    return {row[0]: re.findall(r"`([^`]+)`", row[-1]) for row in rows if len(row) == 3}


def test_every_name_is_one_that_the_code_has() -> None:
    files = tracked_files("photofinish/*", "client/*", "server/*", "export/*", "perf/*", "variants.toml")
    kept = [name for name in files if name.endswith((".py", ".cpp", ".h", ".toml"))]
    code = "\n".join(read(name) for name in kept)
    classes = set(_CLASS.findall(code)) | set(re.findall(r"^(\w+) = Literal", code, flags=re.MULTILINE))
    words = set(re.findall(r"\w+", code))
    for term, names in names_in_code(read("docs/glossary.md")).items():
        for name in names:
            first, *rest = re.findall(r"\w+", name)
            assert first in (classes if re.match(r"[A-Z][a-z]", first) else words), f"{term}: no {first} in the code"
            assert set(rest) <= words, f"{term}: no {name} in the code"


def test_the_glossary_has_a_name_for_most_terms() -> None:
    found = names_in_code(read("docs/glossary.md"))
    assert len([term for term, names in found.items() if names]) > 40
