"""What the engine inspector says is read rightly, and an engine that fell back or does not load is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from photofinish.export.tensorrt.engine import EngineRequest, engine_from_onnx
from photofinish.export.tensorrt.inspect import check_engine_precision, precisions_from_inspection
from photofinish.export.tensorrt.library import TensorRTLibrary
from photofinish.export.tensorrt.network import EngineRefusedError
from photofinish.export.tensorrt.progress import tensorrt_logger
from tests.export.tensorrt.variants import engine_variant


def inspection(*formats: str) -> str:
    """The inspector's JSON, as the developer guide shows it, of one layer for each output format."""
    layers = [
        {"Name": f"layer {number}", "Outputs": [{"Format/Datatype": text}]} for number, text in enumerate(formats)
    ]
    return json.dumps({"Layers": layers, "Bindings": []})


@pytest.mark.parametrize(
    ("described", "precision"),
    [
        ("Row major linear FP16 format", "fp16"),
        ("Half", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Row major linear FP32", "fp32"),
        ("Float", "fp32"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("FP8 E4M3", "fp8"),
        ("BFloat16", "bf16"),
    ],
)
def test_a_tensors_type_is_read_from_its_description(described: str, precision: str) -> None:
    assert precisions_from_inspection(inspection(described)) == {precision: 1}


def test_other_types_and_bare_names_are_not_counted() -> None:
    assert not precisions_from_inspection(inspection("Row major linear INT64 format", "Int32", "Bool"))
    assert not precisions_from_inspection(inspection("Row major linear UInt8 format", "UINT8"))
    assert not precisions_from_inspection(json.dumps({"Layers": ["conv + relu", "top-k"]}))


def library_that_inspects(load: Callable[[], Any]) -> TensorRTLibrary:
    """Stands for TensorRT on a GPU."""
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda engine: load())
    module = SimpleNamespace(Runtime=lambda logger: runtime, LayerInformationFormat=SimpleNamespace(JSON=1))
    return TensorRTLibrary(name="tensorrt", version="10.16.1.11", module=module)


def inspected(*formats: str) -> TensorRTLibrary:
    inspector = SimpleNamespace(get_engine_information=lambda how: inspection(*formats))
    return library_that_inspects(lambda: SimpleNamespace(create_engine_inspector=lambda: inspector))


LOGGER = SimpleNamespace(last_error="")


def test_a_built_engines_layers_are_told() -> None:
    line = check_engine_precision(inspected("Half", "Half", "Float"), b"engine", "fp16", LOGGER)
    assert line == "the built engine's layer outputs: 2 fp16, 1 fp32"


def test_an_engine_that_fell_back_is_refused() -> None:
    with pytest.raises(EngineRefusedError, match=r"asked for as fp16 and none of its layers is \(3 fp32\)"):
        check_engine_precision(inspected("Float", "Float", "Float"), b"engine", "fp16", LOGGER)


def no_runtime() -> Any:
    raise TypeError("pybind11::init(): factory function returned nullptr")


@pytest.mark.parametrize("load", [lambda: None, no_runtime], ids=["engine", "runtime"])
def test_an_engine_that_does_not_load_leaves_one_variant_out(load: Callable[[], Any]) -> None:
    logger = SimpleNamespace(last_error="CUDA initialization failure with error: 35")
    with pytest.raises(EngineRefusedError, match=r"cannot load on this GPU: CUDA initialization failure .*doctor"):
        check_engine_precision(library_that_inspects(load), b"engine", "fp16", logger)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_real_engine_without_a_driver_is_refused(toy_path: Path, tmp_path: Path, rtx: TensorRTLibrary) -> None:
    destination = tmp_path / "model.plan"
    engine_from_onnx(toy_path, engine_variant(), destination, EngineRequest(target="sm120", timing_cache_dir=tmp_path))
    with pytest.raises(EngineRefusedError, match="cannot load on this GPU"):
        check_engine_precision(rtx, destination.read_bytes(), "fp16", tensorrt_logger(rtx))
