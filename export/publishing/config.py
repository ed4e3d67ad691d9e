"""config.pbtxt from a variant: valid for Triton 2.51 (the embedded server) and the newest container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.export.publishing.config_tensorrt import engine_fields, provider_accelerator
from photofinish.export.publishing.pbtxt import Enum, Message, map_entry, text_from_message
from photofinish.export.tensorrt.build import profile_from_buckets
from photofinish.model_card import CARD_PARAMETER, ModelCard
from photofinish.variant import Variant, tensor_names

ULTRALYTICS_PARAMETER = "metadata"
"""The parameter from which Ultralytics' own Triton client reads class names, stride and head."""
WARMUP_COUNT = 3
"""TorchScript optimises itself during the first two executions of each batch size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output: its Triton type, and its dims without the batch dimension."""

    name: str
    data_type: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIO:
    """What goes in and what comes out of an artifact."""

    input: TensorSpec
    output: TensorSpec


def io_from_variant(
    variant: Variant, *, input_wh: tuple[int, int], raw_dims: tuple[int, ...], task: str, row_width: int = ROW_WIDTH
) -> ModelIO:
    """The I/O that a variant's contract and backend fix. raw_dims: the raw output without the batch dimension.

    row_width: columns of the rows in the frames contract.
    """
    width, height = input_wh
    if variant.contract == "tensor":
        output_dims = raw_dims
        taken, input_dims = "TYPE_FP32", (3, height, width)
    else:
        output_dims = raw_dims if task == "classify" else (MAX_ROWS, row_width)
        taken, input_dims = "TYPE_UINT8", (height, width, 3)
    input_name, output_name = tensor_names(variant.contract, task=task, backend=variant.backend)
    return ModelIO(
        input=TensorSpec(name=input_name, data_type=taken, dims=input_dims),
        output=TensorSpec(name=output_name, data_type="TYPE_FP32", dims=output_dims),
    )


def config_from_variant(
    variant: Variant,
    card: ModelCard,
    io: ModelIO,
    *,
    gpus: Sequence[int] = (),
    ultralytics_metadata: str | None = None,
    artifact_sha256: str = "",
) -> str:
    """The text of config.pbtxt.

    gpus: the GPUs that get instances, all of them when empty. ultralytics_metadata: a Python literal for the
    `metadata` parameter. artifact_sha256: the artifact's hash, by which engines made of it are kept.
    """
    on_gpu = card.device == "cuda"
    fields: dict[str, object] = {
        "name": variant.name,
        "backend": variant.backend,
        "max_batch_size": variant.max_batch_size,
        "input": [_tensor_message(io.input)],
        "output": [_tensor_message(io.output)],
        "instance_group": [_instance_group(variant, on_gpu, gpus)],
    }
    if variant.backend == "openvino":
        # The genuine backend's default is model.xml; it reads ONNX as well.
        fields["default_model_filename"] = variant.artifact_name
    if variant.role != "baseline":
        # The baseline serves one request at a time, as the guides do.
        fields["dynamic_batching"] = {"max_queue_delay_microseconds": variant.max_queue_delay_us}
    if variant.backend == "tensorrt":
        fields |= engine_fields(
            input_name=io.input.name,
            input_dims=io.input.dims,
            buckets=variant.batch_buckets,
            cuda_graphs=variant.cuda_graphs,
            engines=card.engines,
        )
    if on_gpu and variant.backend == "onnxruntime":
        # Keys of the cuda accelerator go to ONNX Runtime's CUDA provider; the convolution search does not (below).
        accelerators: list[Message] = [{"name": "cuda", "parameters": [map_entry("use_tf32", str(int(variant.tf32)))]}]
        if variant.accelerator == "tensorrt":
            before_cuda = provider_accelerator(
                input_name=io.input.name,
                input_dims=io.input.dims,
                profile=profile_from_buckets(variant.batch_buckets),
                cache_name=f"{variant.name}_{artifact_sha256[:16]}",
            )
            accelerators.insert(0, before_cuda)
        fields["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": accelerators}}
    fields["model_warmup"] = [_warmup(variant, io.input, size) for size in _warmup_sizes(variant, on_gpu)]
    parameters = {CARD_PARAMETER: card.to_parameter()}
    if ultralytics_metadata is not None:
        parameters[ULTRALYTICS_PARAMETER] = ultralytics_metadata
    if on_gpu:
        # The embedded server's Python-based backends take device tensors only with this; genuine ones ignore it.
        parameters["FORCE_CPU_ONLY_INPUT_TENSORS"] = "no"
    if on_gpu and variant.backend == "onnxruntime":
        # 1 = HEURISTIC: EXHAUSTIVE searches again for every batch size, DEFAULT is far slower.
        parameters["cudnn_conv_algo_search"] = "1"
    fields["parameters"] = [map_entry(key, {"string_value": value}) for key, value in parameters.items()]
    return "# Generated by `photofinish export`; changes are overwritten.\n" + text_from_message(fields)


def _tensor_message(spec: TensorSpec) -> Message:
    return {"name": spec.name, "data_type": Enum(spec.data_type), "dims": list(spec.dims)}


def _instance_group(variant: Variant, on_gpu: bool, gpus: Sequence[int]) -> Message:
    group: dict[str, object] = {
        "count": variant.instance_count,
        "kind": Enum("KIND_GPU" if on_gpu else "KIND_CPU"),
    }
    if on_gpu and gpus:
        group["gpus"] = list(gpus)
    return group


def _warmup_sizes(variant: Variant, on_gpu: bool) -> tuple[int, ...]:
    """On a GPU every size an engine is prepared for; on a CPU nothing depends on the size, so batch 1 is enough."""
    return variant.batch_buckets if on_gpu else variant.batch_buckets[:1]


def _warmup(variant: Variant, spec: TensorSpec, batch_size: int) -> Message:
    data = {"data_type": Enum(spec.data_type), "dims": list(spec.dims), "zero_data": True}
    message: dict[str, object] = {
        "name": f"batch_{batch_size}",
        "batch_size": batch_size,
        "inputs": [map_entry(spec.name, data)],
    }
    if variant.backend == "pytorch":
        message["count"] = WARMUP_COUNT
    return message
