"""ONNX Runtime sessions on the CPU or a GPU."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import onnxruntime as ort

from ..agreement import Node, check_against_config
from ..model import ConfiguredModel, RefusedModelError, thread_count

_NUMPY_NAMES = {
    "tensor(bool)": "bool",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}
CUDA_PROVIDER = "CUDAExecutionProvider"
_CUDA_REMEDY = (
    "install onnxruntime-gpu for this machine's CUDA in place of onnxruntime, or export with --device cpu "
    "(`photofinish doctor` says what is missing)"
)


def cpu_session(model: ConfiguredModel) -> Any:
    """A session on the CPU with all cores. Raises RefusedModelError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count(model)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return _session(model, options, ["CPUExecutionProvider"])


def batch_dimension(model: ConfiguredModel) -> str:
    """The name of the model's batch dimension; "" without one. Raises RefusedModelError when config and model disagree.

    Opens the model on the CPU, without optimising it, to look at its inputs and outputs.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = _session(model, options, ["CPUExecutionProvider"])
    check_session(model, session)
    if not model.max_batch_size:
        return ""
    name = session.get_inputs()[0].shape[0]
    if not isinstance(name, str):
        raise RefusedModelError(
            f"the batch dimension of {model.artifact()} has no name, so it cannot be fixed for the GPU; "
            "export the model again"
        )
    return name


def share_working_memory(device_id: int) -> None:
    """Make the sessions of this process work in one piece of memory on the GPU; once, before the first of them.

    For sessions that never run at the same time: each batch size then needs no more than the largest one. Load all
    sessions before any runs: weights must not come to lie where a recorded graph works. Raises RefusedModelError.
    """
    memory = ort.OrtMemoryInfo("Cuda", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, device_id, ort.OrtMemType.DEFAULT)
    # Grow by what is asked for, not by doubling; -1: ONNX Runtime's own value.
    arena = ort.OrtArenaCfg(
        {
            "arena_extend_strategy": 1,
            "initial_chunk_size_bytes": -1,
            "initial_growth_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
            "max_mem": 0,
        }
    )
    options = {"device_id": str(device_id)}
    ort.preload_dlls()
    try:
        ort.create_and_register_allocator_v2(CUDA_PROVIDER, memory, options, arena)
    except Exception:  # ONNX Runtime raises classes of its own, all derived from Exception
        # The CUDA libraries may be those that torch brings along.
        with contextlib.suppress(ImportError):
            importlib.import_module("torch")
        try:
            ort.create_and_register_allocator_v2(CUDA_PROVIDER, memory, options, arena)
        except Exception as exc:
            raise RefusedModelError(
                f"ONNX Runtime {ort.__version__} cannot use CUDA on GPU {device_id}: {exc}; {_CUDA_REMEDY}"
            ) from exc


def _load_cuda_libraries() -> None:
    """Those of the nvidia wheels, and those that torch brings along, whichever are there."""
    ort.preload_dlls()
    with contextlib.suppress(ImportError):
        importlib.import_module("torch")


def check_cuda_provider(model: ConfiguredModel) -> None:
    """Raise RefusedModelError when this ONNX Runtime was built without CUDA."""
    if CUDA_PROVIDER not in (available := ort.get_available_providers()):
        raise RefusedModelError(
            f"{model.name} is configured for a GPU and this ONNX Runtime {ort.__version__} has only {available}; "
            f"{_CUDA_REMEDY}"
        )


def cuda_session(model: ConfiguredModel, *, stream: int, cuda_graphs: bool, fixed: dict[str, int]) -> Any:
    """A session on the model's GPU that computes on `stream`. Raises RefusedModelError, also on a fall-back to the CPU.

    stream: the CUDA stream's handle. cuda_graphs: record the first run and replay it. fixed: sizes of named dimensions;
    with all shapes known nothing is left for the CPU, which CUDA graphs need, and cuDNN plans each convolution once.
    Call share_working_memory first, unless other models run in this process: each session then has its own.
    """
    settings = {
        "device_id": str(model.device_id),
        "user_compute_stream": str(stream),
        "enable_cuda_graph": "1" if cuda_graphs else "0",
        "use_tf32": "1" if model.card.get("tf32") else "0",
        # EXHAUSTIVE searches for every session again; DEFAULT is many times slower.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Tensor cores want channels last: 14 % less time for YOLO26n in FP16 on an H100.
        "prefer_nhwc": "1" if model.card.get("precision") == "fp16" else "0",
    }
    # Errors reach us as exceptions; cuDNN logs one for every kind of kernel that it tries and drops.
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if model.is_grouped:
        settings["arena_extend_strategy"] = "kSameAsRequested"
        _load_cuda_libraries()
    else:
        options.add_session_config_entry("session.use_env_allocators", "1")
    # A plan of the memory would be a second copy of it beside what the first run took.
    options.enable_mem_pattern = False
    for name, size in fixed.items():
        options.add_free_dimension_override_by_name(name, size)
    session = _session(model, options, [(CUDA_PROVIDER, settings)])
    if (found := session.get_providers()[0]) != CUDA_PROVIDER:
        raise RefusedModelError(f"ONNX Runtime fell back to {found}, expected {CUDA_PROVIDER}; {_CUDA_REMEDY}")
    return session


def _session(model: ConfiguredModel, options: ort.SessionOptions, providers: list[Any]) -> Any:
    artifact = model.artifact()
    try:
        return ort.InferenceSession(str(artifact), options, providers=providers)
    except Exception as exc:  # ONNX Runtime raises classes of its own, all derived from Exception
        raise RefusedModelError(f"ONNX Runtime {ort.__version__} cannot load {artifact}: {exc}") from exc


def check_session(model: ConfiguredModel, session: Any) -> None:
    """Raise RefusedModelError unless the session's inputs and outputs are as configured."""
    check_against_config(model, _nodes(session.get_inputs()), _nodes(session.get_outputs()))


def _nodes(items: Any) -> dict[str, Node]:
    return {
        item.name: Node(
            _NUMPY_NAMES.get(item.type, item.type), tuple(dim if isinstance(dim, int) else -1 for dim in item.shape)
        )
        for item in items
    }
