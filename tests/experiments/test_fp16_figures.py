"""The comparison of FP16 graphs: nodes, engines and boxes are counted rightly, and AutoCast's absence is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from experiments import compare_fp16
from experiments.compare_fp16 import table_from_record
from experiments.fp16_figures import agreement_from_rows, engine_figures, node_counts
from photofinish.errors import ExportError
from photofinish.export.recipes.context import BuildContext
from tests.export.tensorrt.variants import engine_variant

RESULTS = Path(__file__).resolve().parents[2] / "results" / "fp16_graphs.json"


def rows(*found: tuple[float, float, float, float, float, int]) -> np.ndarray:  # type: ignore[type-arg]
    table = np.zeros((1, 300, 6), np.float32)
    if found:
        table[0, : len(found)] = found
    return table


def test_every_layer_of_our_graph_is_fp16_and_none_of_the_source_is(fp16_path: Path, context: BuildContext) -> None:
    before, after = node_counts(context.frames_onnx), node_counts(onnx.load(fp16_path))
    assert (before.layers_fp16, before.fp16) == (0, 0)
    assert after.layers_fp16 == before.layers_fp32 > 90
    assert after.layers_fp32 == 0
    # The boxes are decoded in FP32.
    assert 0 < after.fp32 < 60
    assert after.casts > before.casts


@pytest.mark.usefixtures("rtx")
def test_engine_is_measured_or_its_refusal_told(toy_path: Path, fp32_path: Path, tmp_path: Path) -> None:
    built = engine_figures(toy_path, engine_variant(), "sm120", tmp_path)
    assert built["weight_shares"] == {"fp16": 1.0}
    assert built["bytes"] == (tmp_path / "model_sm120.plan").stat().st_size
    refused = engine_figures(fp32_path, engine_variant(), "sm120", tmp_path / "other")
    assert "asked for as fp16 and computes in fp32" in refused["refused"]


def test_agreement_counts_lost_added_and_moved_boxes() -> None:
    reference = rows((0, 0, 100, 100, 0.9, 1), (200, 0, 300, 100, 0.5, 2), (400, 0, 440, 40, 0.26, 3))
    found = rows((1, 0, 100, 104, 0.8, 1), (200, 0, 300, 100, 0.5, 7), (400, 0, 440, 40, 0.24, 3))
    figures = agreement_from_rows(found, reference)
    # Class 2 became class 7; the box at the limit fell below it, and is not lost for that.
    assert (figures.boxes, figures.lost, figures.added) == (3, 1, 1)
    assert figures.worst_box_error_px == 4
    assert figures.worst_confidence_error == pytest.approx(0.1, abs=1e-6)
    assert figures.mean_confidence_error == pytest.approx((0.1 + 0.02) / 2, abs=1e-6)


def test_agreement_without_boxes_is_perfect() -> None:
    figures = agreement_from_rows(rows(), rows())
    assert (figures.boxes, figures.lost, figures.worst_box_error_px) == (0, 0, 0.0)


def test_without_autocast_the_remedy_is_said(toy_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"has no AutoCast .*environment of its own.*--autocast-python"):
        compare_fp16._autocast(Path(sys.executable), toy_path, tmp_path / "out.onnx", None)
    with pytest.raises(ExportError, match="cannot be run"):
        compare_fp16._autocast(tmp_path / "python", toy_path, tmp_path / "out.onnx", None)


@pytest.mark.usefixtures("rtx")
def test_comparison_from_weights_to_table(tmp_path: Path) -> None:
    """The whole script, with a program in AutoCast's place that fails without pictures and converts nothing with."""
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\n[ -n "$4" ] || { echo "ValueError: low is out of bounds for uint8" >&2; exit 1; }\n'
        'cp "$2" "$3" && echo \'{"conversion_s": 1.5, "modelopt": "0.47.0"}\'\n'
    )
    program.chmod(0o755)
    model = compare_fp16.compare("demo", 2, program, ("sm120",))
    graphs = {graph["graph"]: graph for graph in model["graphs"]}
    assert list(graphs) == ["fp32", "ours", "autocast", "autocast, calibrated"]
    assert graphs["ours"]["engines"][0]["weight_shares"] == {"fp16": 1.0}
    assert graphs["ours"]["agreement"]["lost"] == 0
    assert graphs["autocast"]["failed"] == "ValueError: low is out of bounds for uint8"
    assert "computes in fp32" in graphs["autocast, calibrated"]["engines"][0]["refused"]
    assert graphs["autocast, calibrated"]["agreement"]["worst_box_error_px"] == 0
    table = table_from_record({"models": [model]}).splitlines()
    assert "sm120 refused" in table[-1]
    assert model["pictures"] == {"source": "synthetic", "count": 2}


def test_committed_comparison_makes_its_table() -> None:
    record = json.loads(RESULTS.read_text(encoding="utf-8"))
    table = table_from_record(record).splitlines()
    graphs = [graph for model in record["models"] for graph in model["graphs"]]
    assert len(table) == 2 + len(graphs)
    assert {line.count("|") for line in table} == {table[0].count("|")}
    page = RESULTS.with_suffix(".md").read_text(encoding="utf-8")
    for line in table[2:]:
        name = line.split("|")[1].strip()
        assert line in page, f"results/fp16_graphs.md does not show {name} as results/fp16_graphs.json has it"


def test_the_page_shows_the_committed_comparison() -> None:
    """docs/tensorrt.md has the columns that decide, for every graph that was compared."""
    page = (RESULTS.parents[1] / "docs" / "tensorrt.md").read_text(encoding="utf-8")
    table = table_from_record(json.loads(RESULTS.read_text(encoding="utf-8"))).splitlines()
    whole = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    compared = [cells for cells in whole if cells[-1]]
    assert len(compared) == 4
    for name, _, _, layers, _, _, engines, lost, confidence, box in compared:
        sizes = ", ".join(engine.split()[1] for engine in engines.split(", "))
        assert f"| {name} | {layers} | {sizes} | {lost} | {confidence} | {box} |" in page
