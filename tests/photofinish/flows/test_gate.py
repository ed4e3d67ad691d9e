"""The gate, through a real server: wrecked variants are refused with a reason that helps, good ones are published."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest

from photofinish.export.publishing.cards import CONFIG_NAME, card_from_directory
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.export.publishing.staging import StagedVariant, write_record
from photofinish.flows.gate import GateOptions, GateOutcome, error_from_report, fits_frames, gate_and_publish
from photofinish.frame import Frame
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.accuracy.gate import GateCandidate, GateReport, GateVerdict, confidence_limit
from photofinish.perf.accuracy.report import slower_lines, table_from_report
from photofinish.variant import Variant, default_variants_path, variants_from_toml
from tests.builders import build_card, build_frame
from tests.conftest import CHECKOUT
from tests.perf.accuracy.wrecks import WRECKS

FRAMES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """One run of the gate, and what it left behind."""

    outcome: GateOutcome
    repository: Path
    options: GateOptions
    staged: tuple[StagedVariant, ...]
    baseline: StagedVariant

    @property
    def report(self) -> GateReport:
        assert self.outcome.report is not None
        return self.outcome.report

    def verdict(self, suffix: str) -> GateVerdict:
        return next(verdict for verdict in self.report.verdicts if verdict.name.endswith(f"_{suffix}"))


@pytest.fixture(scope="session")
def gated(
    coco_repository: tuple[Path, dict[str, str]], test_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Gated:
    """The COCO detector in ONNX FP32 as the baseline, in FP16, and wrecked in five ways, through the gate."""
    published, names = coco_repository
    folder = tmp_path_factory.mktemp("gate")
    source = published / names["onnx_fp32"]
    model = onnx.load(source / "1" / "model.onnx")
    known = variants_from_toml(CHECKOUT / "variants.toml", model=names["onnx_fp32"].removesuffix("_onnx_fp32"))
    fp32 = next(variant for variant in known if variant.suffix == "onnx_fp32")
    fp16 = next(variant for variant in known if variant.suffix == "onnx_fp16")
    baseline = stage(folder, source, replace(fp32, suffix="good_fp32", role="baseline"), model)
    good = stage(
        folder, published / names["onnx_fp16"], replace(fp16, suffix="good_fp16"), published / names["onnx_fp16"]
    )
    wrecked = []
    for suffix, wreck in WRECKS.items():
        changes = {"precision": "int8", "min_map_share": 0.95} if suffix == "noise" else {}
        variant = replace(fp32, suffix=suffix, **changes)  # type: ignore[arg-type]
        wrecked.append(stage(folder, source, variant, wreck(model)))
    repository = folder / "model_repository"
    shutil.copytree(folder / "staging" / wrecked[0].variant.name, repository / wrecked[0].variant.name)
    options = GateOptions(data=test_data / "coco_val2017_128" / "data.yaml", size=FRAMES, work=folder / ".photofinish")
    staged = (baseline, good, *wrecked)
    outcome = gate_and_publish(staged, baseline, repository, options, on_progress=print)
    return Gated(outcome=outcome, repository=repository, options=options, staged=staged, baseline=baseline)


class TwoShapes(Dataset):
    """Frames of two sizes, in turn as often as given."""

    def __init__(self, *sizes_wh: tuple[int, int]) -> None:
        super().__init__(kind="unlabelled", name="two shapes", class_names=(), sha256="", size=len(sizes_wh))
        self._sizes_wh = sizes_wh

    def frames(self) -> Iterator[Frame]:
        for index, size_wh in enumerate(self._sizes_wh):
            yield build_frame(index=index, size_wh=size_wh)


@pytest.mark.parametrize(("narrow", "fits"), [(0, True), (2, True), (4, False), (20, False)])
def test_a_rectangular_variant_is_left_out_where_the_pictures_have_another_shape(
    tmp_path: Path, narrow: int, fits: bool
) -> None:
    known = variants_from_toml(default_variants_path(), model="toy")
    variant = next(item for item in known if item.suffix == "onnx_fp32_rect")
    card = build_card(variant=variant.name, input_wh=(640, 384))
    staged = StagedVariant(variant=variant, directory=tmp_path, card=card, rebuilt=True)
    said: list[str] = []
    dataset = TwoShapes(*[(64, 48)] * narrow, *[(64, 36)] * (20 - narrow))
    assert fits_frames(staged, dataset, said.append) is fits
    assert len(said) == (not fits)
    assert fits or "is for 16:9 and the gate's pictures are not (one is 64 × 48); pass --frames" in said[0]


def test_a_rectangular_input_may_move_confidences(tmp_path: Path) -> None:
    figures = {"fp32": (0.01, 0.1), "int8": (0.1, 0.1)}
    for precision, limits in figures.items():
        for input_wh, limit in zip(((64, 64), (64, 32)), limits, strict=True):
            card = build_card(precision=precision, input_wh=input_wh)
            candidate = GateCandidate(name="toy", floor=0.99, card=card, directory=tmp_path)
            assert confidence_limit(candidate) == limit


def stage(folder: Path, source: Path, variant: Variant, model: onnx.ModelProto | Path) -> StagedVariant:
    directory = folder / "staging" / variant.name
    (directory / "1").mkdir(parents=True)
    if isinstance(model, Path):
        shutil.copytree(model / "1", directory / "1", dirs_exist_ok=True)
    else:
        onnx.save(model, directory / "1" / "model.onnx")
    original = card_from_directory(source)
    assert original is not None
    card = replace(original, variant=variant.name, role=variant.role, precision=variant.precision)
    io = io_from_variant(variant, input_wh=card.input_wh, raw_dims=(300, 6), task="detect")
    (directory / CONFIG_NAME).write_text(config_from_variant(variant, card, io))
    write_record(directory, "test", card)
    return StagedVariant(variant=variant, directory=directory, card=card, rebuilt=True)


def test_good_variants_are_published_and_wrecked_ones_are_not(gated: Gated) -> None:
    names = {path.name.rpartition("rebuilt_")[2] for path in gated.repository.iterdir()}
    assert names == {"good_fp32", "good_fp16"}
    assert {name.rpartition("rebuilt_")[2] for name in gated.outcome.published} == names


@pytest.mark.parametrize(
    ("suffix", "reason"),
    [
        ("swapped", r"confidences differ from the baseline's .* its colour channels are swapped"),
        ("zeroed", "it gives the same answer to every picture: its head is zeroed"),
        ("divided", "wrong scale|same answer to every picture"),
        ("imagenet", "ImageNet's mean and deviation"),
        ("noise", r"its INT8 ranges come from .* pass --calibration FOLDER"),
    ],
)
def test_the_reason_helps(gated: Gated, suffix: str, reason: str) -> None:
    verdict = gated.verdict(suffix)
    assert not verdict.passed
    assert re.search(reason, verdict.reason), verdict.reason
    assert "lost most" in verdict.reason
    assert "\n" not in verdict.reason


def test_refused_variants_are_kept_aside_with_their_report(gated: Gated) -> None:
    for suffix in WRECKS:
        folder = gated.options.work / "refused" / gated.verdict(suffix).name
        assert (folder / "1" / "model.onnx").is_file()
        assert json.loads((folder / "report.json").read_text())["reason"] == gated.verdict(suffix).reason


def test_figures_travel_with_the_variant(gated: Gated) -> None:
    card = card_from_directory(gated.repository / gated.verdict("good_fp16").name)
    assert card is not None
    assert card.accuracy["passed"] is True
    assert card.accuracy["map50_95"] == pytest.approx(gated.verdict("good_fp16").result.map50_95)
    assert card.accuracy["map_share"] >= 0.99
    assert card.accuracy["kind"] == "labelled"


def test_the_error_ends_with_exit_code_3_and_names_each(gated: Gated) -> None:
    error = error_from_report(gated.report, gated.options.work)
    assert error.exit_code == 3
    assert all(gated.verdict(suffix).name in str(error) for suffix in WRECKS)


def test_a_second_run_needs_no_server(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "photofinish.server.triton.embedded.EmbeddedServer.__enter__", lambda self: pytest.fail("a server was started")
    )
    again = gate_and_publish(gated.staged, gated.baseline, gated.repository, gated.options, on_progress=print)
    assert again.report is not None
    assert again.report.cached == len(gated.staged)
    assert [verdict.passed for verdict in again.report.verdicts] == [v.passed for v in gated.report.verdicts]


def test_the_baseline_agrees_with_itself(gated: Gated) -> None:
    result = gated.verdict("good_fp32").result
    assert (result.map_share, result.matched_share, result.worst_box_error_px) == (1.0, 1.0, 0.0)
    assert gated.report.verdicts[0].name == gated.baseline.variant.name


def test_the_table_shows_every_variant_and_what_is_slow(gated: Gated) -> None:
    lines = table_from_report(gated.report).splitlines()
    assert "against labels" in lines[0]
    assert sum("REFUSED" in line for line in lines) == len(WRECKS)
    slow = replace(gated.verdict("good_fp16"), precision="int8", name="toy_onnx_int8")
    slow = replace(slow, result=replace(slow.result, request_p50_ms=41.0))
    fast = replace(gated.verdict("good_fp16"), precision="fp32", name="toy_onnx_fp32")
    fast = replace(fast, result=replace(fast.result, request_p50_ms=28.0))
    report = replace(gated.report, verdicts=(gated.report.verdicts[0], fast, slow))
    assert slower_lines(report) == [
        "toy_onnx_int8 is slower than toy_onnx_fp32 on this machine: one request takes 41.0 ms against 28.0 ms"
    ]


def test_the_report_holds_everything_for_a_sceptic(gated: Gated) -> None:
    name = gated.baseline.card.model
    document = json.loads((gated.options.work / "gate" / f"{name}.json").read_text())
    assert document["weights_sha256"] == gated.baseline.card.weights_sha256
    assert len(document["verdicts"]) == len(gated.staged)
    assert document["verdicts"][0]["result"]["class_map50_95"]
    assert document["environment"]["packages"]
