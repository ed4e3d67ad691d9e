"""What a server of our own loads for a measurement: what is measured, and no variant more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.client.choosing.sides import default_baseline
from photofinish.errors import ConfigError, ModelRepositoryError, ServerError
from photofinish.flows.bench import find_program
from photofinish.model_card import ModelCard
from photofinish.perf.measure import perf_analyzer_program
from photofinish.wheels import WheelError
from tests.builders import build_card, build_frame

BASELINE = "toy_torch_fp32_tensor"
PRUNED = {"model": "small", "weights_sha256": "1" * 64, "weights_changed": {"by": "pruning", "from_sha256": "0" * 64}}
TOY = {
    BASELINE: build_card(variant=BASELINE, role="baseline", contract="tensor", backend="pytorch"),
    "toy_onnx_fp16": build_card(precision="fp16"),
    "toy_onnx_fp32": build_card(),
    "toy_openvino_fp32_rect": build_card(backend="openvino", input_wh=(64, 32)),
    "small_onnx_fp32": build_card(**PRUNED),
    "small_openvino_fp32": build_card(backend="openvino", **PRUNED),
}


class NotStartedError(ServerError):
    """In the place of a server; its text is what it should have loaded."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Variants without artifacts, beside one picture of 64 × 48, and no server."""
    folder = tmp_path / "repository"
    for name, card in TOY.items():
        (folder / name).mkdir(parents=True)
        words = json.dumps(card.to_parameter())
        config = f'name: "{name}"\nparameters {{ key: "photofinish" value {{ string_value: {words} }} }}\n'
        (folder / name / "config.pbtxt").write_text(config)
    cv2.imwrite(str(tmp_path / "picture.png"), build_frame().image_hwc_bgr)

    def not_started(repository: Path, *, models: tuple[str, ...], **options: Any) -> None:
        raise NotStartedError(" ".join(sorted(models)))

    monkeypatch.setattr("photofinish.server.triton.embedded.EmbeddedServer", not_started)
    return folder


def loaded(repository: Path, *words: str) -> set[str]:
    """What the command has the server load; the error where it has none."""
    out = str(repository.parent / "out.json")
    words = (*words, "--repository", str(repository), "--source", str(repository.parent / "picture.png"), "--out", out)
    error = CliRunner().invoke(cli, [*words, *(() if "--weights-changed" in words else ("--model", "toy"))]).exception
    if isinstance(error, ConfigError):
        raise error
    assert isinstance(error, NotStartedError), error
    return set(str(error).split())


FITTING = {BASELINE, "toy_onnx_fp16", "toy_onnx_fp32"}
ALL = {*FITTING, "toy_openvino_fp32_rect"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--baseline", "torch_fp32_tensor", "--optimised", "onnx_fp32"], {BASELINE, "toy_onnx_fp32"}),
        (["--optimised", "toy_openvino_fp32_rect"], {BASELINE, "toy_openvino_fp32_rect"}),
        (["--baseline", "onnx_fp16", "--optimised", "onnx_fp32"], {"toy_onnx_fp16", "toy_onnx_fp32"}),
        (["--variant", "onnx_fp16", "--optimised", "onnx_fp32"], {"toy_onnx_fp16", "toy_onnx_fp32"}),
        (["--optimised", "torch_fp32_tensor"], {BASELINE}),
        ([], FITTING),
        (["--baseline", "onnx_fp16"], FITTING),
    ],
)
@pytest.mark.parametrize("command", [["race"], ["perf", "comparison"]])
def test_a_comparison_loads_what_may_be_a_side(
    repository: Path, command: list[str], words: list[str], expected: set[str]
) -> None:
    assert loaded(repository, *command, *words) == expected


@pytest.mark.parametrize("command", [["race"], ["perf", "comparison"]])
def test_a_repository_of_another_version_and_one_without_ours_are_told(repository: Path, command: list[str]) -> None:
    for config in repository.glob("*/config.pbtxt"):
        config.write_text(config.read_text().replace('schema_version\\": 1', 'schema_version\\": 0'))
    words = (*command, "--repository", str(repository), "--source", str(repository.parent / "picture.png"))
    error = CliRunner().invoke(cli, words).exception
    assert isinstance(error, ModelRepositoryError), error
    assert "has schema_version 0" in str(error)
    for config in repository.glob("*/config.pbtxt"):
        config.write_text('name: "theirs"\n')
    with pytest.raises(ConfigError, match="has no variant"):
        loaded(repository, *command)


def test_what_measures_every_variant_loads_them_all(repository: Path) -> None:
    sides = ("--baseline", "torch_fp32_tensor", "--optimised", "onnx_fp32")
    assert loaded(repository, "perf", "standard", *sides, "--no-perf-analyzer") == ALL
    assert loaded(repository, "perf", "trace") == ALL
    assert loaded(repository, "perf", "trace", "--variant", "onnx_fp32") == {"toy_onnx_fp32"}


def test_pruned_sides_are_loaded_without_what_they_were_pruned_from(repository: Path) -> None:
    names = {"small_onnx_fp32", "small_openvino_fp32"}
    sides = ("--baseline", "small_onnx_fp32", "--optimised", "small_openvino_fp32", "--weights-changed")
    assert loaded(repository, "perf", "comparison", *sides) == names


def test_without_a_second_side_nothing_is_started(repository: Path) -> None:
    words = ("race", "--variant", "torch_fp32_tensor", "--variant", "openvino_fp32_rect")
    with pytest.raises(ConfigError, match=f"only {BASELINE} can be compared at .* two variants"):
        loaded(repository, *words)


def test_without_a_baseline_by_role_a_side_is_not_compared_with_itself() -> None:
    def cards(*names: str) -> dict[str, ModelCard]:
        return {name: TOY[name] for name in names}

    assert default_baseline(cards("toy_onnx_fp16", "toy_onnx_fp32"), "toy_onnx_fp16") == "toy_onnx_fp32"
    assert default_baseline(cards("toy_onnx_fp16", BASELINE), None) == BASELINE
    assert default_baseline(cards("toy_onnx_fp16"), "toy_onnx_fp16") == "toy_onnx_fp16"


def test_a_perf_analyzer_that_cannot_be_had_names_the_way_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise WheelError("tritonclient could not be downloaded")

    monkeypatch.setattr(perf_analyzer_program, "find_perf_analyzer", refuse)
    with pytest.raises(ConfigError, match="could not be downloaded; or measure without it: --no-perf-analyzer"):
        find_program()
