"""The records that the texts name are there and listed; the figures themselves: tests/docs/test_figures.py."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

RESULTS = CHECKOUT / "results"
PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for pattern in ("*.md", "docs/*.md", "*/weights/README.md", "results/README.md")
    for path in CHECKOUT.glob(pattern)
)


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def named_results(text: str) -> set[str]:
    """Names of files under results/ that a text mentions, by path or as a link beside it; not of one's own results."""
    return {
        name.rstrip(".") for name in re.findall(r"(?<!\.photofinish/)results/([A-Za-z0-9_*][A-Za-z0-9_.*-]*)", text)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_results_file_that_a_page_names_exists(page: str) -> None:
    missing = [name for name in sorted(named_results(read(page))) if not list(RESULTS.glob(name))]
    assert not missing, f"{page} names {missing}, which results/ does not hold"


def test_a_name_that_is_not_there_is_found() -> None:
    assert named_results("see [this](../results/h100_gone.json.gz), `results/h100_gone.md`.") == {
        "h100_gone.json.gz",
        "h100_gone.md",
    }


def listed_results() -> set[str]:
    """The files that the table of results/README.md lists."""
    table = "\n".join(line for line in read("results/README.md").splitlines() if line.startswith("| `"))
    return set(re.findall(r"`([a-z0-9_]+\.json(?:\.gz)?)`", table))


def test_the_table_of_results_lists_every_committed_file() -> None:
    git = subprocess.run(["git", "ls-files", "results"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a git checkout")
    committed = {Path(line).name for line in git.stdout.splitlines() if ".json" in line}
    assert committed <= listed_results()


def test_every_listed_file_is_there_and_every_record_has_its_report() -> None:
    for name in listed_results():
        assert (RESULTS / name).is_file(), f"results/README.md lists {name}"
        if name.endswith(".json.gz"):
            report = RESULTS / name.replace(".json.gz", ".md")
            assert report.is_file(), f"photofinish perf report results/{name} --out {report.with_suffix('.json').name}"
