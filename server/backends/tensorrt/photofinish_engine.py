"""A TensorRT engine on this GPU: loaded, compared with config.pbtxt, and made ready to launch for each batch bucket.

Imports nothing of Photofinish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from photofinish_buckets import Buffers, Launcher
from photofinish_model import Io, RefusedModelError, ServedModel
from photofinish_sidecar import check_sidecar, file_for_capability, import_library, read_sidecar

WARM_UPS = 3
"""Launches of each bucket before its CUDA graph is captured: the library loads kernels in the first ones."""
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64", "UINT8": "uint8"}


@dataclass
class LoadedEngine:
    """An engine with what must live as long as it does. notices: what fell back, in plain words."""

    library: Any
    runtime: Any
    engine: Any
    notices: list[str] = field(default_factory=list)

    def launcher(self, model: ServedModel) -> Launcher:
        """What runs the engine on fixed buffers, one prepared launch per bucket."""
        device = torch.device("cuda", model.device_id)
        buffers = Buffers.on_device(model, device)
        return _prepare_launches(model, self, buffers)


def engine_for_gpu(model: ServedModel, config: dict[str, Any]) -> Path:
    """The engine file for this instance's GPU. Raises RefusedModelError without a GPU or without the file."""
    if model.device != "cuda" or not torch.cuda.is_available():
        raise RefusedModelError(
            f"{model.name} is a TensorRT engine and needs an NVIDIA GPU; torch {torch.__version__} finds none here. "
            "Serve the onnxruntime variant, or run `photofinish doctor`"
        )
    capability = torch.cuda.get_device_capability(model.device_id)
    path = model.artifact.with_name(file_for_capability(config, model.artifact.name, capability))
    if not path.is_file():
        raise RefusedModelError(f"{path} does not exist; export the model again for this GPU")
    return path


def load_engine(model: ServedModel, path: Path) -> LoadedEngine:
    """The engine, deserialized on the instance's GPU. Raises RefusedModelError on any mismatch with its sidecar."""
    record = read_sidecar(path)
    check_sidecar(path, record, torch.cuda.get_device_capability(model.device_id))
    trt = import_library(record)
    torch.cuda.set_device(model.device_id)
    torch.cuda.init()
    logger = trt.Logger(trt.ILogger.ERROR)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise RefusedModelError(
            f"{record['library']} {record['library_version']} cannot load {path.name} on this GPU (the server's log "
            f"has its reason). Rebuild it: {record['rebuild']}"
        )
    return LoadedEngine(library=trt, runtime=runtime, engine=engine)


def check_against_config(model: ServedModel, loaded: LoadedEngine) -> None:
    """Raise RefusedModelError where the genuine backend would: names, dtypes, dims, batches outside the profile."""
    trt, engine = loaded.library, loaded.engine
    if not model.max_batch_size:
        raise RefusedModelError(f"{model.name} has max_batch_size 0; an engine is served in batches of at least 1")
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    for kind, ios in (("INPUT", model.inputs), ("OUTPUT", model.outputs)):
        found = [name for name in names if engine.get_tensor_mode(name) == getattr(trt.TensorIOMode, kind)]
        if sorted(io.name for io in ios) != sorted(found):
            raise RefusedModelError(
                f"config.pbtxt names the {kind.lower()}s {[io.name for io in ios]}, the engine has {found}"
            )
    for io in (*model.inputs, *model.outputs):
        _check_io(io, _DTYPES.get(engine.get_tensor_dtype(io.name).name, "?"), tuple(engine.get_tensor_shape(io.name)))
    for io in model.inputs:
        smallest, _, largest = (shape[0] for shape in engine.get_tensor_profile_shape(io.name, 0))
        if smallest > 1 or largest < model.max_batch_size:
            raise RefusedModelError(
                f"the engine takes batches of {smallest} to {largest}, config.pbtxt states max_batch_size "
                f"{model.max_batch_size}; export the model again"
            )


def _check_io(io: Io, dtype: str, shape: tuple[int, ...]) -> None:
    if dtype != io.dtype.name:
        raise RefusedModelError(f"{io.name!r} is {dtype} in the engine, config.pbtxt states {io.dtype}")
    if shape[1:] != io.dims or shape[0] != -1:
        raise RefusedModelError(f"{io.name!r} has the shape {list(shape)} in the engine, config states {list(io.dims)}")


def _prepare_launches(model: ServedModel, loaded: LoadedEngine, buffers: Buffers) -> Launcher:
    """Set addresses once; run, then capture, each bucket. A bucket that cannot be captured is launched plainly."""
    context = _execution_context(loaded)
    for io, tensor in zip((*model.inputs, *model.outputs), (*buffers.inputs, *buffers.outputs), strict=True):
        context.set_tensor_address(io.name, tensor.data_ptr())
    stream = buffers.stream
    torch.cuda.synchronize(stream.device)
    graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def launch_plainly(bucket: int) -> None:
        for io in model.inputs:
            context.set_input_shape(io.name, io.shape(bucket))
        if not context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError(f"TensorRT could not run a batch of {bucket}; the server's log has its reason")

    # Largest first: the library's own memory is then large enough for every smaller bucket.
    for bucket in reversed(model.buckets):
        for _ in range(WARM_UPS):
            launch_plainly(bucket)
        stream.synchronize()
        if model.card.get("cuda_graphs"):
            try:
                graphs[bucket] = _captured(lambda size=bucket: launch_plainly(size), stream)
            except RuntimeError as exc:
                loaded.notices.append(f"no CUDA graph for batch {bucket}: {exc}; it is launched kernel by kernel")

    def launch(bucket: int) -> None:
        graph = graphs.get(bucket)
        if graph is None:
            launch_plainly(bucket)
        else:
            graph.replay()

    return Launcher(buffers=buffers, launch=launch)


def _captured(run: Any, stream: Any) -> Any:
    """What `run` launches on `stream`, as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        run()
    return graph


def _execution_context(loaded: LoadedEngine) -> Any:
    """An execution context. `tensorrt_rtx` compiles kernels here: EAGER does it before a shape's first run is over."""
    strategy = getattr(loaded.library, "DynamicShapesKernelSpecializationStrategy", None)
    if strategy is None:
        context = loaded.engine.create_execution_context()
    else:
        config = loaded.engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = strategy.EAGER
        context = loaded.engine.create_execution_context(config)
    if context is None:
        raise RefusedModelError("TensorRT cannot create an execution context: not enough free GPU memory")
    return context
