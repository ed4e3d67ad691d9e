"""What config.pbtxt says of TensorRT: CUDA graphs and engines of several GPUs for Triton's `tensorrt` backend, and the
TensorRT provider for its `onnxruntime` backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from photofinish.engine_record import compute_capability
from photofinish.export.publishing.pbtxt import Message, map_entry


def engine_fields(
    *,
    input_name: str,
    input_dims: tuple[int, ...],
    buckets: tuple[int, ...],
    cuda_graphs: bool,
    engines: Mapping[str, Any],
) -> dict[str, object]:
    """The fields that only an engine's config has. engines: the card's, by GPU architecture."""
    fields: dict[str, object] = {}
    if cuda_graphs:
        fields["optimization"] = {
            "cuda": {"graphs": True, "graph_spec": graph_specs(input_name, input_dims, buckets)},
        }
    if len(engines) > 1:
        fields["cc_model_filenames"] = [
            map_entry(compute_capability(target), engine["file"]) for target, engine in engines.items()
        ]
    return fields


def graph_specs(input_name: str, input_dims: tuple[int, ...], buckets: tuple[int, ...]) -> list[Message]:
    """One graph per batch bucket, each for the sizes above the bucket before.

    Without them the backend captures batch 1 and the largest only. The rows that a smaller batch leaves in a larger
    graph are computed and thrown away: the pictures of a batch do not touch each other.
    """
    shape = [map_entry(input_name, {"dim": list(input_dims)})]
    return [
        {
            "batch_size": size,
            "input": shape,
            "graph_lower_bound": {"batch_size": smaller + 1, "input": shape},
        }
        for smaller, size in zip((0, *buckets), buckets, strict=False)
    ]


def provider_accelerator(
    *, input_name: str, input_dims: tuple[int, ...], profile: tuple[int, int, int], cache_name: str
) -> Message:
    """ONNX Runtime's TensorRT provider, in the closed list of keys that Triton's `onnxruntime` backend takes.

    No precision is asked for: without one the provider builds a strongly typed network, and the graph decides.
    cache_name: a name for exactly this artifact. The provider's own names tell graphs apart, not their weights. Its
    folder lies in the container's /tmp; the embedded server uses the user's cache instead.
    """
    dims = "x".join(map(str, input_dims))
    folder = f"/tmp/photofinish_{cache_name}"
    parameters = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
    }
    for name, batch in zip(("min", "opt", "max"), profile, strict=True):
        parameters[f"trt_profile_{name}_shapes"] = f"{input_name}:{batch}x{dims}"
    return {"name": "tensorrt", "parameters": [map_entry(key, value) for key, value in parameters.items()]}
