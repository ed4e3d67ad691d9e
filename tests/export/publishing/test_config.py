from __future__ import annotations

import ast
from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.model_card import card_from_parameter
from photofinish.variant import Variant
from tests.builders import build_card

FIELDS_OF_2_51 = {
    "name",
    "backend",
    "max_batch_size",
    "input",
    "output",
    "instance_group",
    "dynamic_batching",
    "optimization",
    "model_warmup",
    "parameters",
    "default_model_filename",
}
"""What we use; each of them is in Triton 2.51's ModelConfig, which refuses a file with a field it does not know."""


def _config(
    variant: Variant, *, device: str = "cpu", task: str = "detect", **options: object
) -> model_config_pb2.ModelConfig:
    card = build_card(variant=variant.name, device=device, task=task)
    io = io_from_variant(variant, input_wh=(64, 32), raw_dims=(7, 42) if task == "detect" else (10,), task=task)
    text = config_from_variant(variant, card, io, **options)  # type: ignore[arg-type]
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_variant_uses_only_known_fields_and_carries_its_card(variants: dict[str, Variant], device: str) -> None:
    for variant in variants.values():
        config = _config(variant, device=device)
        assert {field.name for field, _ in config.ListFields()} <= FIELDS_OF_2_51
        assert config.name == variant.name
        assert config.backend == variant.backend
        assert config.max_batch_size == variant.max_batch_size
        assert card_from_parameter(config.parameters["photofinish"].string_value).variant == variant.name


def test_tensor_contract_of_torchscript(variants: dict[str, Variant]) -> None:
    config = _config(variants["torch_fp32_tensor"])
    assert (config.input[0].name, config.output[0].name) == ("INPUT__0", "OUTPUT__0")
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32
    assert list(config.input[0].dims) == [3, 32, 64]
    assert list(config.output[0].dims) == [7, 42]


def test_frames_contract_of_onnx(variants: dict[str, Variant]) -> None:
    config = _config(variants["onnx_fp16"])
    assert (config.input[0].name, config.output[0].name) == ("frames", "detections")
    assert config.input[0].data_type == model_config_pb2.TYPE_UINT8
    assert list(config.input[0].dims) == [32, 64, 3]
    assert config.output[0].data_type == model_config_pb2.TYPE_FP32
    assert list(config.output[0].dims) == [300, 6]


def test_a_classifier_gives_scores(variants: dict[str, Variant]) -> None:
    config = _config(variants["onnx_fp32"], task="classify")
    assert config.output[0].name == "scores"
    assert list(config.output[0].dims) == [10]


def test_all_but_the_baseline_batch_what_queues(variants: dict[str, Variant]) -> None:
    assert not _config(variants["torch_fp32_tensor"]).HasField("dynamic_batching")
    assert _config(variants["onnx_fp32"]).HasField("dynamic_batching")
    assert _config(variants["onnx_fp32"]).dynamic_batching.max_queue_delay_microseconds == 0


def test_the_cpu_is_warmed_with_one_picture_and_the_gpu_with_every_bucket(variants: dict[str, Variant]) -> None:
    on_cpu, on_gpu = _config(variants["onnx_fp16"]), _config(variants["onnx_fp16"], device="cuda")
    assert [item.batch_size for item in on_cpu.model_warmup] == [1]
    assert [item.batch_size for item in on_gpu.model_warmup] == list(variants["onnx_fp16"].batch_buckets)
    warmup = on_gpu.model_warmup[-1].inputs["frames"]
    assert warmup.zero_data
    assert list(warmup.dims) == [32, 64, 3]


def test_instances_lie_on_all_gpus_or_those_named(variants: dict[str, Variant]) -> None:
    variant = replace(variants["onnx_fp32"], instance_count=2)
    assert _config(variant).instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    group = _config(variant, device="cuda").instance_group[0]
    assert (group.kind, group.count) == (model_config_pb2.ModelInstanceGroup.KIND_GPU, 2)
    assert list(group.gpus) == []
    assert list(_config(variant, device="cuda", gpus=(0, 2)).instance_group[0].gpus) == [0, 2]


def test_onnxruntime_on_a_gpu_says_tf32_and_convolution_search(variants: dict[str, Variant]) -> None:
    config = _config(variants["onnx_fp32"], device="cuda")
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert (accelerator.name, dict(accelerator.parameters)) == ("cuda", {"use_tf32": "0"})
    assert config.parameters["cudnn_conv_algo_search"].string_value == "1"
    assert config.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value == "no"
    assert "cudnn_conv_algo_search" not in _config(variants["onnx_fp32"]).parameters


def test_ultralytics_metadata_is_a_python_literal(variants: dict[str, Variant]) -> None:
    literal = ascii({"names": {0: "Fußgänger", 1: 'a "b"'}, "stride": 32})
    config = _config(variants["torch_fp32_tensor"], ultralytics_metadata=literal)
    assert ast.literal_eval(config.parameters["metadata"].string_value)["names"][0] == "Fußgänger"
