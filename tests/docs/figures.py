"""The figures in the pages and the records behind them: checked, and drawn again from newer records.

A comment at the end of a section, which no reader sees, names the record of each figure in it, in their order:

    <!-- figures
    n = h100_bridge_yolo26n.comparison
    columns: | n.baseline.{} | n.optimised.{} | n.optimised.gain_{}
    rows: fps | p50
    7.04× [6.92, 7.15]: h100_bridge_yolo26n.paced_30.optimised.gain_p50
    given: 30 frames a second
    no record: 13.2 ms
    -->

`columns` and `rows` are about the next table: `{}` is a row's word, `{0}` and `{1}` its parts between commas.
A row `-` has no record of its own, an empty cell no figure.
`given` is no measurement (a limit, a rule), `no record` a measurement without one, which the section must say.
How an expression reads a record: tests/docs/evidence.py.

    python -m tests.docs.figures                                       checks every page
    python -m tests.docs.figures --write                               draws the figures that are stale again
    python -m tests.docs.figures --write --use OLD=NEW README.md       draws them from the record NEW, not OLD
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from photofinish.perf.formatting import MISSING
from tests.docs.evidence import Evidence, shown
from tests.docs.pages import CHECKOUT, markdown_pages

_COMMENT = re.compile(r"<!-- figures\n(.*?)-->\n?", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} .*$", re.MULTILINE)
_CODE = re.compile(
    r"^```.*?^```$|`[^`\n]*`|\]\([^)\n]*\)|<!--.*?-->|\b95 %(?= (?:interval|confidence)|\])", re.DOTALL | re.MULTILINE
)
"""What is no prose: code, links' targets, comments; and the name of an interval."""
_UNIT = r"(?:×(?!\s?\d)| ?%| (?:ms|µs|MiB|GiB|frames a second|images a second|images/s|W|GFLOP/s|mAP)\b)"
_FIGURE = re.compile(rf"(?<![\w.@-])\d+(?:,\d{{3}})*(?:\.\d+)?{_UNIT}(?: \[[\d., ]+\])?")
_CELL = re.compile(r"\**\d+(?:,\d{3})*(?:\.\d+)?(?:×| %)?(?: \[[\d., ]+\]| \([\d.]+×\))?\**")
_ADMITS = re.compile(r"no record|left no record|provisional|experiment|not recorded", re.IGNORECASE)


@dataclass(slots=True)
class Section:
    """A stretch of a page and what its comment says: [start, end) of the text, entries, and what is wrong."""

    page: str
    start: int
    end: int
    covered: list[tuple[int, int]] = field(default_factory=list)
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def pages() -> list[str]:
    """Every page whose figures carry their records: all but the changelog, which tells what was.

    README.zh.md has the figures of README.md, which tests/docs/test_readme_zh.py sees to.
    """
    return [page for page in markdown_pages() if page not in ("CHANGELOG.md", "README.zh.md", "results/README.md")]


def checked(page: str, text: str, evidence: Evidence) -> list[Section]:
    """The sections of a page with what is stale in them, and the figures that name no record."""
    found, at = [], 0
    bare = _CODE.sub(lambda match: re.sub(r"[^\n]", "\0", match[0]), text)
    for comment in _COMMENT.finditer(text):
        headings = [match.end() for match in _HEADING.finditer(bare, at, comment.start())]
        start = headings[-1] if headings else at
        found.append(_unmarked(Section(page=page, start=at, end=start), bare))
        section = Section(page=page, start=start, end=comment.start())
        _read_comment(section, text, comment.start(1), comment[1], evidence)
        found.append(_unmarked(section, bare))
        at = comment.end()
    found.append(_unmarked(Section(page=page, start=at, end=len(text)), bare))
    return found


def _unmarked(section: Section, bare: str) -> Section:
    """The section, with a fault for every figure in it that no entry covers."""
    spans = [match.span() for match in _FIGURE.finditer(bare, section.start, section.end)]
    for start, end in _measured_cells(bare, section.start, section.end):
        spans.append((start, end))
    for start, end in sorted(set(spans)):
        if not any(left < end and start < right for left, right in section.covered):
            line = bare.count("\n", 0, start) + 1
            section.faults.append(f"line {line}: {bare[start:end]!r} names no record")
    return section


def _measured_cells(bare: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cells of tables that hold a number with a point and nothing else."""
    for row, _ in _rows(bare, start, end):
        for left, right in row[1:]:
            if "." in bare[left:right] and _CELL.fullmatch(bare[left:right]):
                yield left, right


def _rows(text: str, start: int, end: int) -> Iterator[tuple[list[tuple[int, int]], int]]:
    """Every table row of a stretch: the span of each cell without its blanks, and where the row ends."""
    for match in re.finditer(r"^\|.*\|$", text[start:end], re.MULTILINE):
        cells, at = [], start + match.start() + 1
        for cell in match[0][1:-1].split("|"):
            left = at + len(cell) - len(cell.lstrip())
            cells.append((left, max(left, at + len(cell.rstrip()))))
            at += len(cell) + 1
        yield cells, start + match.end()


def _read_comment(section: Section, text: str, offset: int, body: str, evidence: Evidence) -> None:
    """Walk the entries of a comment through the text of its section."""
    names: dict[str, str] = {}
    at, columns = section.start, [""]
    for line in body.splitlines(keepends=True):
        entry, place = line.strip(), offset + len(line) - len(line.lstrip())
        offset += len(line)
        if match := re.match(r"(\w+) = (.+)", entry):
            names[match[1]] = match[2]
            continue
        key, _, rest = entry.partition(": ") if ": " in entry else entry.partition(":")
        if key == "columns":
            columns = [item.strip() for item in f" {rest}".split(" |")]
        elif key == "rows":
            at = _read_table(section, text, at, columns, [item.strip() for item in rest.split(" | ")], names, evidence)
        elif key in ("given", "no record"):
            for figure in rest.split("; "):
                at = _cover(section, text, at, figure.strip(), is_admitted=key == "no record")
        elif entry:
            at = _read_figure(section, text, at, key, place, rest, names, evidence)


def _cover(section: Section, text: str, at: int, figure: str, *, is_admitted: bool) -> int:
    found = _find(text, figure, at, section.end)
    if found < 0:
        section.faults.append(f"{figure!r} does not stand in its section after what comes before it in the comment")
        return at
    section.covered.append((found, found + len(figure)))
    if is_admitted and not _ADMITS.search(text, section.start, section.end):
        section.faults.append(f"{figure!r} has no record, which its section must say")
    return found + len(figure)


def _read_figure(section: Section, text: str, at: int, figure: str, place: int, expression: str,
                 names: dict[str, str], evidence: Evidence) -> int:  # fmt: skip
    found = _find(text, figure, at, section.end)
    if found < 0:
        section.faults.append(f"{figure!r} does not stand in its section after what comes before it in the comment")
        return at
    section.covered.append((found, found + len(figure)))
    new = _drawn(section, figure, expression, names, evidence)
    if new != figure:
        section.edits += [(found, found + len(figure), new), (place, place + len(figure), new)]
    return found + len(figure)


def _find(text: str, figure: str, at: int, end: int) -> int:
    match = re.compile(rf"(?<![\d.]){re.escape(figure)}(?![\d]|\.\d)").search(text, at, end)
    return match.start() if match else -1


def _read_table(section: Section, text: str, at: int, columns: Sequence[str], keys: Sequence[str],
                names: dict[str, str], evidence: Evidence) -> int:  # fmt: skip
    """Compare the next table of a section, cell by cell; where its last row ends."""
    rows = list(_rows(text, text.rfind("\n", 0, at) + 1, section.end))
    last = next((index for index, (row, end) in enumerate(rows) if not text[end:].startswith("\n|")), -1)
    table = rows[2 : last + 1]
    if len(table) != len(keys):
        section.faults.append(f"a table has {len(table)} rows, its comment has {len(keys)}: {' | '.join(keys)}")
        return rows[last][1] + 1 if rows else at
    for (row, end), key in zip(table, keys, strict=True):
        at = end + 1
        section.covered.append(row[0])
        for (left, right), column in zip(row, columns, strict=False):
            if not column or key == "-" or left == right:
                continue
            section.covered.append((left, right))
            cell = text[left:right]
            expression = column.replace("{}", key)
            for index, part in enumerate(key.split(", ")):
                expression = expression.replace(f"{{{index}}}", part)
            new = _drawn(section, cell, expression, names, evidence)
            if new != cell:
                section.edits.append((left, right, new))
        if key == "-":
            section.covered.append((row[0][0], end))
    return at


def _drawn(section: Section, figure: str, expression: str, names: dict[str, str], evidence: Evidence) -> str:
    """The figure as the record has it today; itself, with a fault, where the expression cannot be read."""
    try:
        new = shown(figure, evidence.value(expression, names))
    except (LookupError, AttributeError, TypeError, ValueError, SyntaxError, ZeroDivisionError, OSError) as exc:
        if figure == MISSING and isinstance(exc, LookupError):
            return figure
        section.faults.append(f"{figure!r}: {expression} cannot be read: {type(exc).__name__}: {exc}")
        return figure
    if new != figure:
        section.faults.append(f"{figure!r} is stale: {expression} is {new!r}")
    return new


def _redrawn(text: str, sections: Sequence[Section]) -> str:
    edits = sorted((edit for section in sections for edit in section.edits), reverse=True)
    for start, end, new in edits:
        text = text[:start] + new + text[end:]
    return text


def _with_record(text: str, old: str, new: str) -> str:
    """The page with another record: in its comments, and in the links to the record and its report."""
    word = rf"(?<![\w]){re.escape(old)}(?!\w)"
    text = _COMMENT.sub(lambda match: re.sub(word, new, match[0]), text)
    return re.sub(rf"results/{re.escape(old)}\.", f"results/{new}.", text)


@click.command()
@click.option("--write", is_flag=True, help="Write the figures as the records have them.")
@click.option("--use", "uses", multiple=True, metavar="OLD=NEW", help="Another record under results/, without ending.")
@click.argument("names", nargs=-1)
def main(write: bool, uses: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Check the figures of the pages (all when none is named), or draw them again."""
    evidence, faults = Evidence(CHECKOUT / "results"), 0
    for page in names or pages():
        path = Path(CHECKOUT / page)
        before = text = path.read_text(encoding="utf-8")
        for use in uses:
            old, _, new = use.partition("=")
            text = _with_record(text, old, new)
        if write:
            text = _redrawn(text, checked(page, text, evidence))
            if text != before:
                path.write_text(text, encoding="utf-8")
                click.echo(f"{page}: drawn again; read the sentences around the figures")
        for section in checked(page, text, evidence):
            for fault in section.faults:
                faults += 1
                click.echo(f"{page}: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
