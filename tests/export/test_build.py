from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from photofinish.errors import ConfigError, ExportError
from photofinish.export import build
from photofinish.export.build import resolve_device, stage_variants
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.publishing.cards import card_from_directory, rewrite_card
from photofinish.export.recipes import table as recipes
from photofinish.variant import variants_from_toml
from tests.export.conftest import CHECKOUT, SIZE, SUFFIXES, SaveOnnx, Tiny, raw_yolo, stage_tiny


def _copied(tiny_staging: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_staging[0], tmp_path / "staging"))


def test_four_variants_are_staged_with_artifact_config_and_card(tiny_staging: Tiny) -> None:
    staging, staged = tiny_staging
    assert [item.variant.suffix for item in staged] == list(SUFFIXES)
    for item in staged:
        assert item.rebuilt
        assert item.directory == staging / "yolo26n" / item.variant.name
        assert (item.directory / "1" / item.variant.artifact_name).is_file()
        assert card_from_directory(item.directory) == item.card
        assert item.card.untrained
        assert item.card.device == "cpu"
        assert not item.card.cuda_graphs
        assert item.card.parity["pictures"] == 2
    assert not list(staging.rglob(".*")), "no temporary folder is left"


def test_artifacts_take_any_batch(tiny_staging: Tiny) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    for item in tiny_staging[1]:
        artifact = item.directory / "1" / item.variant.artifact_name
        if item.variant.backend == "onnxruntime":
            assert output_from_onnx(artifact, frames, at_once=True).shape == (3, 300, 6)
            dims = onnx.load(artifact).graph.output[0].type.tensor_type.shape.dim
            assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 300, 6]
        else:
            module = torch.jit.load(str(artifact))
            tensor = item.variant.contract == "tensor"
            batch = torch.zeros(3, 3, SIZE, SIZE) if tensor else torch.from_numpy(frames)
            assert module(batch).shape[0] == 3


def test_onnx_computes_no_shapes_at_run_time(tiny_staging: Tiny) -> None:
    """Such nodes run on the CPU, and ONNX Runtime then refuses to record a CUDA graph."""
    for item in tiny_staging[1]:
        if item.variant.backend == "onnxruntime":
            model = onnx.load(item.directory / "1" / "model.onnx")
            operators = {node.op_type for node in model.graph.node}
            assert not operators & {"Shape", "Size", "NonZero", "ConstantOfShape", "Range", "Loop", "If"}
            assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}


@pytest.mark.gpu
def test_torchscript_made_on_the_cpu_runs_on_a_gpu(tiny_staging: Tiny) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    for item in tiny_staging[1]:
        if item.variant.contract == "frames" and item.variant.backend == "pytorch":
            module = torch.jit.load(str(item.directory / "1" / "model.pt"), map_location="cuda")
            frames = torch.zeros((2, SIZE, SIZE, 3), dtype=torch.uint8, device="cuda")
            assert module(frames).shape == (2, 300, 6)


def test_a_rerun_makes_only_what_is_stale(tiny_staging: Tiny, tmp_path: Path) -> None:
    staging = _copied(tiny_staging, tmp_path)
    assert not any(item.rebuilt for item in stage_tiny(staging))
    (staging / "yolo26n" / "yolo26n_onnx_fp32" / "1" / "model.onnx").unlink()
    assert [item.variant.suffix for item in stage_tiny(staging) if item.rebuilt] == ["onnx_fp32"]


def test_a_changed_variant_is_stale(tiny_staging: Tiny, tmp_path: Path) -> None:
    staging = _copied(tiny_staging, tmp_path)
    changed = tmp_path / "variants.toml"
    text = (CHECKOUT / "variants.toml").read_text()
    changed.write_text(text.replace("[variant.onnx_fp32]\n", "[variant.onnx_fp32]\ninstance_count = 2\n"))
    staged = stage_variants(
        "yolo26n.yaml",
        variants_path=changed,
        names=SUFFIXES,
        device="cpu",
        input_size=SIZE,
        staging=staging,
        on_progress=print,
    )
    assert [item.variant.suffix for item in staged if item.rebuilt] == ["onnx_fp32"]


def test_a_damaged_record_is_stale(tiny_staging: Tiny, tmp_path: Path) -> None:
    staging = _copied(tiny_staging, tmp_path)
    (staging / "yolo26n" / "yolo26n_torch_fp32" / "export.json").write_text("{")
    (staging / "yolo26n" / "yolo26n_onnx_fp32" / "export.json").write_text(json.dumps({"fingerprint": "x"}))
    rebuilt = [item.variant.suffix for item in stage_tiny(staging) if item.rebuilt]
    assert rebuilt == ["torch_fp32", "onnx_fp32"]


def test_a_wrong_artifact_is_neither_staged_nor_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: onnx.ModelProto) -> onnx.ModelProto:
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(model)
        last = next(node for node in spoilt.graph.node if "detections" in node.output)
        last.output[0] = "inner"
        spoilt.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "half"))
        spoilt.graph.node.append(onnx.helper.make_node("Add", ["inner", "half"], ["detections"]))
        return spoilt

    monkeypatch.setattr(recipes, "fp16_model_from_fp32", broken)
    with pytest.raises(ExportError, match="yolo26n_onnx_fp16 disagrees with its source"):
        stage_tiny(tmp_path, names=("onnx_fp16",))
    assert not (tmp_path / "yolo26n" / "yolo26n_onnx_fp16").exists()


def test_a_card_can_be_rewritten_and_stays_fresh(tiny_staging: Tiny, tmp_path: Path) -> None:
    staging = _copied(tiny_staging, tmp_path)
    directory = staging / "yolo26n" / "yolo26n_onnx_fp32"
    card = card_from_directory(directory)
    assert card is not None
    changed = replace(card, accuracy={"map": 0.5, "note": 'quote " and \\ backslash'})
    rewrite_card(directory, changed)
    assert card_from_directory(directory) == changed
    staged = stage_tiny(staging, names=("onnx_fp32",))
    assert [(item.rebuilt, item.card) for item in staged] == [(False, changed)]


def test_onnx_weights_give_their_own_baseline(save_raw_onnx: SaveOnnx, tmp_path: Path) -> None:
    path = save_raw_onnx(raw_yolo(), metadata={"names": "{0: 'a', 1: 'b', 2: 'c'}"})
    staged = stage_variants(
        str(path), variants_path=CHECKOUT / "variants.toml", device="cpu", staging=tmp_path / "s", on_progress=print
    )
    cards = {item.variant.suffix: item.card for item in staged}
    assert cards["onnx_fp32_tensor"].role == "baseline"
    assert cards["onnx_fp32_tensor"].head == "yolo_raw"
    assert cards["onnx_fp32"].head == "rows"
    assert {card.nms for card in cards.values()} == {"client"}
    assert cards["onnx_fp16"].class_names == ("a", "b", "c")
    assert "torch_fp32_tensor" not in cards


def test_a_torchvision_classifier_goes_the_same_way(tmp_path: Path) -> None:
    suffixes = ["torch_fp32_tensor", "onnx_fp32", "onnx_fp16"]
    staged = stage_variants(
        "torchvision:resnet18",
        variants_path=CHECKOUT / "variants.toml",
        names=tuple(suffixes),
        device="cpu",
        input_size=64,
        staging=tmp_path,
        on_progress=print,
    )
    assert [item.variant.suffix for item in staged] == suffixes
    for item in staged:
        assert (item.card.task, item.card.head, item.card.untrained) == ("classify", "scores", True)
        assert item.card.parity["pictures"] == 2
    fp16 = staged[-1].directory / "1" / "model.onnx"
    scores = output_from_onnx(fp16, np.zeros((2, 64, 64, 3), np.uint8), at_once=True)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-3)


def test_a_rectangular_variant_has_the_same_network_over_fewer_pixels(tmp_path: Path) -> None:
    staged = stage_variants(
        "yolo26n.yaml",
        variants_path=CHECKOUT / "variants.toml",
        names=("onnx_fp32", "onnx_fp32_rect"),
        device="cpu",
        input_size=128,
        staging=tmp_path,
        on_progress=print,
    )
    square, rect = (onnx.load(item.directory / "1" / "model.onnx") for item in staged)
    assert [item.card.input_wh for item in staged] == [(128, 128), (128, 96)]
    dims = [dim.dim_param or dim.dim_value for dim in rect.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 96, 128, 3]
    assert "dims: [96, 128, 3]" in (staged[1].directory / "config.pbtxt").read_text()
    weights = [
        sum(np.prod(item.dims) for item in model.graph.initializer if len(item.dims) == 4) for model in (square, rect)
    ]
    assert weights[0] == weights[1]


def test_a_classifier_has_no_rectangular_variant(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="onnx_fp32_rect was asked for, but these weights take square pictures only"):
        stage_variants(
            "torchvision:resnet18",
            variants_path=CHECKOUT / "variants.toml",
            names=("onnx_fp32_rect",),
            device="cpu",
            staging=tmp_path,
            on_progress=print,
        )


def test_asking_by_name_for_what_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown variant nonsense"):
        stage_tiny(tmp_path, names=("nonsense",))
    with pytest.raises(ExportError, match="cannot be made from torch weights"):
        stage_tiny(tmp_path, names=("onnx_fp32_tensor",))


def test_devices() -> None:
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="must be auto, cpu or cuda"):
        resolve_device("tpu")
    if not torch.cuda.is_available():
        assert resolve_device("auto") == "cpu"
        with pytest.raises(ExportError, match="PyTorch sees no GPU here"):
            resolve_device("cuda")


def test_what_is_wrong_is_found_before_anything_heavy_is_loaded() -> None:
    """A missing file or a wrong flag takes a moment, where PyTorch takes seconds."""
    program = "import sys, photofinish.export.build; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert {"torch", "onnx", "onnxruntime", "ultralytics"} & set(done.stdout.split()) == set()


def test_what_a_device_cannot_run_is_told_in_one_line() -> None:
    said: list[str] = []
    request = SimpleNamespace(
        found=SimpleNamespace(kind="pt"), named=False, targets=(), device="cpu", on_progress=said.append
    )
    chosen = variants_from_toml(CHECKOUT / "variants.toml", model="toy")
    runnable = build._runnable(chosen, request)  # type: ignore[arg-type]
    assert {variant.suffix for variant in runnable} >= {"torch_fp32_tensor", "onnx_fp32", "onnx_fp32_rect"}
    (line,) = said
    assert line.startswith("left out: onnx_fp16_plain, trt_fp16, ")
    assert line.endswith(" (each because it runs on cuda, not on cpu)")
