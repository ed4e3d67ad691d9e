"""A change in any file that decides an artifact or a figure is noticed, wherever the file lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from photofinish.export.publishing.staging import code_hash
from photofinish.perf.accuracy.store import deciding_code
from photofinish.source_hash import source_hash
from tests.conftest import CHECKOUT
from tests.test_architecture import imported_names

HASHES: dict[str, Callable[[Path], str]] = {
    "artifacts": code_hash,
    "figures": lambda root: source_hash(deciding_code(root), root),
}
DECIDING = {
    "artifacts": (
        "export/deep/deeper/module.py",
        "photofinish/values/letterbox.py",
        "photofinish/export/deep/of_a_wheel.py",
    ),
    "figures": (
        "perf/accuracy/deep/figures.py",
        "client/pipeline/deep/letterbox.py",
        "server/bridge/deep/lane.h",
        "server/backend/engines/deep/session.py",
        "photofinish/perf/accuracy/deep/of_a_wheel.py",
    ),
}
NOT_DECIDING = {
    "artifacts": (
        "client/triton/session.py",
        "photofinish/commands/deep/export.py",
        "photofinish/flows/detect.py",
        "photofinish/perf/of_a_wheel.py",
    ),
    "figures": (
        "client/ui/page/app.py",
        "photofinish/commands/deep/perf.py",
        "photofinish/flows/detect.py",
        "perf/report/deep/words.py",
        "server/triton/ports.py",
        "photofinish/client/ui/of_a_wheel.py",
    ),
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in DECIDING.items() for place in places])
def test_a_change_below_any_folder_changes_the_hash(tmp_path: Path, name: str, place: str) -> None:
    write(tmp_path / place, "WAS = 1\n")
    before = HASHES[name](tmp_path)
    write(tmp_path / place, "NOW = 2\n")
    assert HASHES[name](tmp_path) != before


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, places in NOT_DECIDING.items() for place in places]
)
def test_a_change_of_pages_and_commands_does_not(tmp_path: Path, name: str, place: str) -> None:
    before = HASHES[name](tmp_path)
    write(tmp_path / place, "NEW = 1\n")
    assert HASHES[name](tmp_path) == before


def test_a_moved_file_changes_the_hash(tmp_path: Path) -> None:
    write(tmp_path / "export" / "here.py", "SAME = 1\n")
    before = code_hash(tmp_path)
    write(tmp_path / "export" / "deep" / "here.py", "SAME = 1\n")
    (tmp_path / "export" / "here.py").unlink()
    assert code_hash(tmp_path) != before


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_changed_variants_toml_makes_no_other_variant_stale(tmp_path: Path, name: str) -> None:
    """A variant's own values are part of its fingerprint; the file itself is a link in the package."""
    write(tmp_path / "photofinish" / "module.py", "SAME = 1\n")
    write(tmp_path / "variants.toml", "tf32 = true\n")
    (tmp_path / "photofinish" / "variants.toml").symlink_to("../variants.toml")
    before = HASHES[name](tmp_path)
    write(tmp_path / "variants.toml", "tf32 = false\n")
    assert HASHES[name](tmp_path) == before


@pytest.mark.parametrize("folder", ["export", "perf/accuracy", "client", "photofinish", "server/backend"])
def test_every_module_of_this_checkout_is_known_to_a_hash(folder: str) -> None:
    from photofinish.export.publishing.staging import CODE, WITHOUT
    from photofinish.source_hash import source_files

    known = {*source_files(CODE, without=WITHOUT), *deciding_code()}
    left_out = ("photofinish/commands", "photofinish/flows", "client/ui")
    missing = [
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / folder).rglob("*.py")
        if path not in known and not str(path.relative_to(CHECKOUT)).startswith(left_out)
    ]
    assert not missing


def test_no_figure_of_the_gate_is_computed_elsewhere_in_perf() -> None:
    """The rest of perf measures and draws; report.py draws as well, and store.py takes what its keys are made of."""
    wrong = [
        f"{path.name}:{line} imports {name}"
        for path in (CHECKOUT / "perf" / "accuracy").rglob("*.py")
        if path.name not in ("report.py", "store.py")
        for line, name in imported_names(path)
        if name.startswith("photofinish.perf.") and not name.startswith("photofinish.perf.accuracy.")
    ]
    assert not wrong
