"""Which frames the gate looks at, and what it decides without labels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from photofinish.detections import Detections, empty_detections
from photofinish.errors import AccuracyGateError, ConfigError, SourceError
from photofinish.export.publishing.staging import StagedVariant
from photofinish.export.tensorrt.targets import Gpu
from photofinish.flows.export import finish_with_report
from photofinish.flows.gate import (
    DEFAULT_FRAMES,
    GateOptions,
    dataset_from_options,
    error_from_report,
    gate_and_publish,
    why_not_here,
)
from photofinish.perf.accuracy.answers import Answers, results_from_answers
from photofinish.perf.accuracy.data import SourceDataset, SyntheticDataset
from photofinish.perf.accuracy.gate import GateCandidate, GateReport, GateVerdict, verdict_from_result
from photofinish.synthetic import CLASS_NAMES
from photofinish.variant import ServerKind, default_variants_path, variants_from_toml
from tests.builders import build_card, build_detections
from tests.export.int8.test_frames import fill
from tests.perf.accuracy.test_labels import write_data

CAR = (10.0, 10.0, 50.0, 50.0, 0.9, 0)


def test_the_synthetic_camera_has_truth_only_for_models_that_know_its_classes() -> None:
    known = dataset_from_options(GateOptions(), build_card(class_names=CLASS_NAMES))
    assert (known.kind, known.size) == ("synthetic", DEFAULT_FRAMES)
    assert dataset_from_options(GateOptions(size=3), build_card()).kind == "unlabelled"


def test_data_and_frames_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data and --frames were both given"):
        dataset_from_options(GateOptions(data=tmp_path, frames="x"), build_card())


def test_data_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = write_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.4"}, document="val: images/val\nnames: [car, zebra]\n")
    with pytest.raises(ConfigError, match=r"classes that toy\.pt does not know: zebra"):
        dataset_from_options(GateOptions(data=path), build_card())


def test_unlabelled_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    dataset = dataset_from_options(GateOptions(frames=str(fill(tmp_path, 9)), size=3), build_card())
    assert (dataset.kind, dataset.size) == ("unlabelled", 3)
    assert [frame.index for frame in dataset.frames()] == [0, 1, 2]
    assert dataset.sha256 == SourceDataset(str(tmp_path), 3).sha256
    fill(tmp_path / "other", 2)
    assert SourceDataset(str(tmp_path / "other"), 3).sha256 != dataset.sha256


def test_a_frozen_camera_is_told(tmp_path: Path) -> None:
    (first, *others) = sorted(fill(tmp_path, 6).glob("*.*"))
    assert not SourceDataset(str(tmp_path), 6).notes
    for other in others:
        other.write_bytes(first.read_bytes())
    (note,) = SourceDataset(str(tmp_path), 6).notes
    assert note.startswith("only 1 of its 6 frames differ")


def test_int8_is_not_judged_by_the_pictures_it_was_calibrated_on(tmp_path: Path) -> None:
    calibration = tmp_path / "calibration"
    frames = fill(calibration / "frames", 4)
    for given in (calibration, frames, tmp_path):
        options = GateOptions(frames=str(given), size=2, calibration=calibration)
        with pytest.raises(ConfigError, match="--frames share 4 pictures"):
            dataset_from_options(options, build_card())
    others = GateOptions(frames=str(fill(tmp_path / "others", 2)), size=2, calibration=calibration)
    assert dataset_from_options(others, build_card()).size == 2


def test_int8_is_not_judged_by_labelled_pictures_it_was_calibrated_on(tmp_path: Path) -> None:
    data = write_data(tmp_path, {"a": "0 0.5 0.5 0.2 0.4", "b": None}, document="val: images/val\nnames: [car]\n")
    card = build_card(class_names=("car",))
    with pytest.raises(ConfigError, match="--data share 2 pictures"):
        dataset_from_options(GateOptions(data=data, calibration=tmp_path / "images"), card)
    assert dataset_from_options(GateOptions(data=data, calibration=fill(tmp_path / "other", 2)), card).size == 2


@pytest.mark.parametrize(
    ("target", "engines", "servers", "reason"),
    [
        (None, {}, ("embedded", "container"), "there is no GPU here to run it"),
        ("sm120", {"sm120": {}}, ("embedded", "container"), ""),
        ("sm90", {"sm120": {}, "sm89": {}}, ("embedded",), "its engines are for sm120, sm89 and this GPU is sm90"),
        ("sm90", {}, ("container",), "only the container runs it"),
    ],
)
def test_a_variant_that_this_machine_cannot_serve_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
    target: str | None,
    engines: dict[str, dict[str, str]],
    servers: tuple[ServerKind, ...],
    reason: str,
) -> None:
    monkeypatch.setattr("photofinish.export.build.resolve_device", lambda device: "cuda" if target else "cpu")
    gpu = Gpu(name="toy", target=target) if target else None
    monkeypatch.setattr("photofinish.export.tensorrt.targets.gpu_at_hand", lambda: gpu)
    known = variants_from_toml(default_variants_path(), model="toy")
    variant = replace(next(item for item in known if item.suffix == "trt_fp16"), servers=servers)
    card = build_card(backend="tensorrt", device="cuda", engines=engines)
    item = StagedVariant(variant=variant, directory=Path(), card=card, rebuilt=False)
    assert why_not_here(item) == reason


def test_a_variant_that_an_earlier_gate_refused_is_not_published_unmeasured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photofinish.flows.gate._measure", lambda *args: None)
    published: list[str] = []
    monkeypatch.setattr(
        "photofinish.export.publishing.publish.publish_variants",
        lambda staged, repository, **options: published.extend(item.card.variant for item in staged),
    )
    (variant, *_) = variants_from_toml(default_variants_path(), model="toy")
    outcomes: dict[str, dict[str, object]] = {"new": {}, "passed": {"passed": True}, "refused": {"passed": False}}
    staged = [
        StagedVariant(
            variant=replace(variant, suffix=name),
            directory=tmp_path,
            card=build_card(variant=name, accuracy=accuracy),
            rebuilt=False,
        )
        for name, accuracy in outcomes.items()
    ]
    said: list[str] = []
    gate_and_publish(staged, staged[0], tmp_path, GateOptions(size=1), on_progress=said.append)
    assert published == ["new", "passed"]
    assert said == ["toy_refused: not published, an earlier gate refused it and it was not measured now"]


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no pictures"):
        SourceDataset(str(tmp_path), 3)


def judged(found: Detections, baseline: Detections, *, floor: float = 0.95) -> tuple[bool, str]:
    verdict = verdict_on(found, baseline, floor=floor)
    return verdict.passed, verdict.reason


def undecided() -> GateVerdict:
    return verdict_on(empty_detections(), empty_detections())


def verdict_on(found: Detections, baseline: Detections, *, floor: float = 0.95) -> GateVerdict:
    dataset = SyntheticDataset(1, labelled=False)
    answers = {
        "toy_onnx_int8": Answers(detections=[found], request_p50_ns=1),
        "toy_torch": Answers(detections=[baseline], request_p50_ns=1),
    }
    results = results_from_answers(answers, dataset, build_card(), baseline="toy_torch")
    card = build_card(variant="toy_onnx_int8", precision="int8", calibration={"frames": 40, "origin": "yard"})
    candidate = GateCandidate(name="toy_onnx_int8", floor=floor, card=card, directory=Path())
    return verdict_from_result(results["toy_onnx_int8"], candidate, "")


def test_without_labels_agreement_decides() -> None:
    car = build_detections([CAR])
    assert judged(car, car) == (True, "")
    passed, reason = judged(empty_detections(), car)
    assert not passed
    assert "0.0% of its boxes match the baseline's, its floor is 95.0%; class car lost most (1 boxes)" in reason
    assert "its INT8 ranges come from 40 frames (yard)" in reason


def test_without_any_box_nothing_is_decided() -> None:
    passed, reason = judged(empty_detections(), empty_detections())
    assert passed
    assert reason.startswith("nothing to decide on")


def test_other_confidences_are_refused_though_every_box_matches() -> None:
    passed, reason = judged(build_detections([(*CAR[:4], 0.6, 0)]), build_detections([CAR]))
    assert not passed
    assert "its confidences differ from the baseline's by 0.300 on average, int8 may differ by 0.1" in reason


def test_labels_on_which_the_baseline_finds_nothing_are_refused() -> None:
    dataset = SyntheticDataset(2)
    answers = {"toy_torch": Answers(detections=[empty_detections()] * 2, request_p50_ns=1)}
    with pytest.raises(ConfigError, match="finds none of the labelled objects"):
        results_from_answers(answers, dataset, build_card(class_names=CLASS_NAMES), baseline="toy_torch")


def test_classifiers_have_no_boxes_to_label() -> None:
    answers = {"toy_torch": Answers(detections=[empty_detections()], request_p50_ns=1)}
    with pytest.raises(ConfigError, match="is a classifier"):
        results_from_answers(answers, SyntheticDataset(1), build_card(task="classify"), baseline="toy_torch")


def test_what_is_undecided_is_published_only_when_that_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = replace(variants_from_toml(default_variants_path(), model="toy")[0], suffix="onnx_int8")
    report = GateReport(baseline="toy_torch", dataset="", kind="unlabelled", verdicts=(undecided(),), cached=0)
    monkeypatch.setattr("photofinish.flows.gate._measure", lambda *args: report)
    monkeypatch.setattr("photofinish.export.publishing.cards.rewrite_card", lambda *args: None)
    monkeypatch.setattr(
        "photofinish.export.publishing.publish.publish_variants",
        lambda staged, repository, **options: tuple(item.variant.name for item in staged),
    )
    item = StagedVariant(variant=variant, directory=tmp_path, card=build_card(variant=variant.name), rebuilt=False)
    for accepted, published, fate in ((False, (), "not published"), (True, ("toy_onnx_int8",), "PUBLISHED")):
        said: list[str] = []
        options = GateOptions(size=1, accept_undecided=accepted)
        outcome = gate_and_publish([item], item, tmp_path, options, on_progress=said.append)
        assert outcome.published == published
        assert said[0].startswith(f"toy_onnx_int8: {fate}, NOT DECIDED: nothing to decide on: neither it nor")
    message = str(error_from_report(report, tmp_path))
    assert message.startswith("not published: toy_onnx_int8: nothing to decide on")
    assert message.endswith("pass --data or --frames, or pass --accept-undecided")
    with pytest.raises(AccuracyGateError, match="toy_onnx_int8: nothing to decide on"):
        finish_with_report(report, GateOptions())
    finish_with_report(report, GateOptions(accept_undecided=True))


def test_a_refusal_names_the_folder_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = verdict_on(empty_detections(), build_detections([CAR]))
    report = GateReport(baseline="toy_torch", dataset="", kind="unlabelled", verdicts=(refused,), cached=0)
    assert str(error_from_report(report, GateOptions().work)).endswith(f"(kept in {tmp_path}/.photofinish/refused)")


def test_a_baseline_that_finds_next_to_nothing_is_no_measure() -> None:
    """One of two hundred objects found: every share of that would be a share of chance."""
    dataset = SyntheticDataset(12)
    truth = [frame.truth for frame in dataset.frames()]
    assert truth[0] is not None
    found = [truth[0].select(np.arange(1)), *([empty_detections()] * 11)]
    answers = {"toy_torch": Answers(detections=found, request_p50_ns=1)}
    figures = results_or_error(answers, dataset)
    assert re.search(r"finds next to none \(mAP50-95 0\.00\d+\) of the labelled objects .* --head .* --names", figures)


def results_or_error(answers: dict[str, Answers], dataset: SyntheticDataset) -> str:
    with pytest.raises(ConfigError) as caught:
        results_from_answers(answers, dataset, build_card(class_names=CLASS_NAMES), baseline="toy_torch")
    return str(caught.value)
