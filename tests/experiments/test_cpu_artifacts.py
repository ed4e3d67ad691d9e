"""The files for `experiments.cpu_ways`, with the long steps replaced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import cpu_artifacts
from experiments.cpu_ways import WAYS
from photofinish.export.recipes.context import RecipeUnavailableError


def test_makes_what_it_can_and_tells_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def staged(weights: str, *, names: tuple[str, ...], **options: Any) -> list[Any]:
        items = []
        for name in names:
            (tmp_path / name / "1").mkdir(parents=True)
            (tmp_path / name / "1" / ("model.pt" if "torch" in name else "model.onnx")).write_text(name)
            items.append(
                SimpleNamespace(
                    variant=SimpleNamespace(name=f"toy_{name}"),
                    directory=tmp_path / name,
                    card=SimpleNamespace(input_wh=(64, 64)),
                )
            )
        return items

    def refuse(*arguments: Any, **options: Any) -> None:
        raise RecipeUnavailableError("no compiler here")

    monkeypatch.setattr(cpu_artifacts, "stage_variants", staged)
    monkeypatch.setattr(cpu_artifacts, "find_spec", lambda name: None)
    monkeypatch.setattr(cpu_artifacts, "load_source", lambda found: SimpleNamespace(input_wh=(64, 64)))
    monkeypatch.setattr(cpu_artifacts, "frames_network_from_source", lambda source: None)
    monkeypatch.setattr(cpu_artifacts, "compile_packages", refuse)
    told: list[str] = []
    folder = tmp_path / "ways"
    cpu_artifacts.make_artifacts("demo", folder, staging=tmp_path / "staging", on_progress=told.append)
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == cpu_artifacts.FILES
    assert "NNCF is not installed: left out" in told
    assert "frozen: left out: no compiler here" in told


def test_the_measuring_script_reads_the_files_that_are_made() -> None:
    made = {*cpu_artifacts.FILES, "nncf.onnx", "compiled/model_b1.pt2", "frozen/model_b1.pt2"}
    assert {way.file for way in WAYS} == made
