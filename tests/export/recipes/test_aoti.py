from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from photofinish.errors import ExportError
from photofinish.export.graph.frames_torch import FramesDetector, frames_network_from_source
from photofinish.export.graph.parity import TOLERANCES, parity_from_rows
from photofinish.export.loading.ultralytics import source_from_pt, source_from_yaml
from photofinish.export.loading.weights import find_weights, load_source
from photofinish.export.recipes.aoti import (
    PLAN_NAME,
    SEARCH_S,
    SIDECAR_NAME,
    build_aoti_fp16,
    compile_packages,
    output_from_package,
    worst_parity,
)
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError, output_from_network
from photofinish.server.backend.engines import torch_programs
from photofinish.variant import Variant
from tests.conftest import CompiledToy


def test_packages_give_what_the_network_gives(compiled_toy: CompiledToy) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    expected = output_from_network(compiled_toy.network, frames)
    assert {size: path.name for size, path in compiled_toy.packages.items()} == {1: "model_b1.pt2", 3: "model_b3.pt2"}
    for size, package in compiled_toy.packages.items():
        found = output_from_package(package, frames, size=size, device="cpu")
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_server_looks_for_the_sidecar_that_is_written() -> None:
    """The backend is copied beside Triton and imports nothing of ours."""
    assert torch_programs.SIDECAR == SIDECAR_NAME


def test_a_package_of_any_size_that_is_wrong_is_found(
    variants: dict[str, Variant], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_from_yaml("yolo26n.yaml", model="toy", sha256="", input_size=64)
    context = BuildContext(source=source, device="cpu", work_dir=tmp_path, on_progress=print)
    variant = replace(variants["torch_fp32"], precision="fp16", recipe="aoti_fp16")
    packages = {size: tmp_path / f"model_b{size}.pt2" for size in (1, 8, 32)}
    errors = {1: 0.001, 8: 0.015, 32: 0.002}

    def output(package: Path, frames: np.ndarray, *, size: int, device: str) -> np.ndarray:  # type: ignore[type-arg]
        off = context.reference_output.copy()
        off[..., 4] += errors[size]
        return off

    monkeypatch.setattr("photofinish.export.recipes.aoti.output_from_package", output)
    parity = worst_parity(context, variant, packages, device="cpu")
    assert parity["max_confidence_difference"] == pytest.approx(0.015, abs=1e-5)
    errors[32] = 0.5
    with pytest.raises(ExportError, match="disagrees with its source"):
        worst_parity(context, variant, packages, device="cpu")


def test_without_a_gpu_it_is_left_out(variants: dict[str, Variant], tmp_path: Path) -> None:
    source = source_from_yaml("yolo26n.yaml", model="toy", sha256="", input_size=64)
    context = BuildContext(source=source, device="cpu", work_dir=tmp_path, on_progress=print)
    variant = replace(variants["torch_fp32"], precision="fp16", recipe="aoti_fp16")
    with pytest.raises(RecipeUnavailableError, match="compiles for the GPU it runs on"):
        build_aoti_fp16(context, variant, tmp_path / "model.pt")


def test_fp16_layers_keep_the_boxes(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "weights" / "yolo26n_coco_rebuilt.pt"
    source = source_from_pt(path, model="coco", sha256="", input_size=320)
    context = BuildContext(source=source, device="cpu", work_dir=tmp_path, on_progress=print)
    network = frames_network_from_source(source, precision="fp16")
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert {layer.weight.dtype for layer in layers} == {torch.float16}
    found = output_from_network(network, context.frames_nhwc)
    parity = parity_from_rows(found, context.reference_output)
    assert parity.boxes >= 6
    assert parity.min_iou >= TOLERANCES["fp16"].min_iou
    assert parity.max_confidence_difference <= TOLERANCES["fp16"].max_confidence
    boxes = found[0, :5, :4]
    assert np.abs(boxes.astype(np.float16) - boxes).max() > 0, "the boxes themselves are not FP16 numbers"


@pytest.mark.parametrize("weights", ["yolo11n.yaml", "torchvision:resnet18"])
def test_fp16_layers_of_other_families(weights: str) -> None:
    source = load_source(find_weights(weights), input_size=64)
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    fp32 = output_from_network(frames_network_from_source(source), frames)
    fp16 = output_from_network(frames_network_from_source(source, precision="fp16"), frames)
    assert fp16.dtype == np.float32
    confidence = (..., 4) if source.task == "detect" else ...
    np.testing.assert_allclose(fp16[confidence], fp32[confidence], atol=0.01)


def test_where_no_kernel_can_be_measured_the_network_is_compiled_as_it_is(
    compiled_toy: CompiledToy, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    network = FramesDetector(compiled_toy.network.network, head="rows").eval()
    frames = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8)
    expected = output_from_network(network, frames)
    said: list[str] = []
    packages = compile_packages(
        network, (24, 16), (1,), folder=tmp_path, device="cpu", on_progress=said.append, search_s=1.0
    )
    assert [line.partition(":")[0] for line in said] == ["batch 1 without kernels of ours", "compiling batch 1"]
    assert not (tmp_path / PLAN_NAME).exists()
    np.testing.assert_allclose(output_from_package(packages[1], frames, size=1, device="cpu"), expected, atol=1e-5)


@pytest.mark.parametrize(("asked", "problem"), [(False, ""), (True, "they need an NVIDIA GPU"), (True, "")])
def test_kernels_are_searched_where_the_user_asks_and_they_can_be(
    asked: bool, problem: str, variants: dict[str, Variant], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant, context, said, searched = _prepared(variants, tmp_path, monkeypatch)
    context.kernels = asked
    monkeypatch.setattr("photofinish.export.recipes.aoti.kernels_problem", lambda device: problem)
    monkeypatch.setattr("photofinish.export.recipes.aoti.worst_parity", lambda *_, **__: {})
    build_aoti_fp16(context, variant, tmp_path / "model.pt")
    assert searched == [SEARCH_S if asked and not problem else 0.0]
    assert [problem in line for line in said] == ([True] if problem else [])


def test_kernels_that_disagree_are_left_out(
    variants: dict[str, Variant], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant, context, said, searched = _prepared(variants, tmp_path, monkeypatch)
    context.kernels = True
    monkeypatch.setattr("photofinish.export.recipes.aoti.kernels_problem", lambda device: "")
    (tmp_path / PLAN_NAME).write_text("{}", encoding="utf-8")

    def parity(*_: object, **__: object) -> dict[str, float]:
        if searched[-1]:
            raise ExportError("the output disagrees with its source")
        return {"boxes": 1.0}

    monkeypatch.setattr("photofinish.export.recipes.aoti.worst_parity", parity)
    assert build_aoti_fp16(context, variant, tmp_path / "model.pt") == {"boxes": 1.0}
    assert searched == [SEARCH_S, 0.0]
    assert "again without kernels of ours: the output disagrees" in said[-1]
    assert not (tmp_path / PLAN_NAME).exists()


def _prepared(
    variants: dict[str, Variant], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Variant, BuildContext, list[str], list[float]]:
    """A recipe that compiles nothing: what it says, and the time it gives to each search."""
    said: list[str] = []
    searched: list[float] = []

    def packages(*_: object, search_s: float, **__: object) -> dict[int, Path]:
        searched.append(search_s)
        return {}

    monkeypatch.setattr("photofinish.export.recipes.aoti.compile_packages", packages)
    monkeypatch.setattr("photofinish.export.recipes.aoti.this_gpu", dict)
    source = source_from_yaml("yolo26n.yaml", model="toy", sha256="", input_size=64)
    context = BuildContext(source=source, device="cuda", work_dir=folder, on_progress=said.append)
    return replace(variants["torch_fp32"], precision="fp16", recipe="aoti_fp16"), context, said, searched
