"""A TensorRT engine in fixed buffers on a GPU, with a CUDA graph per batch size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ..agreement import Node, check_against_config
from ..cuda.driver import refuse_on_error
from ..cuda.graphs import GraphCuda
from ..engine import Engine
from ..gpu_engine import Execution, GpuEngine, require_fixed_shapes
from ..model import ConfiguredModel, RefusedModelError
from .tensorrt_sidecar import check_sidecar, file_for_capability, import_library, read_sidecar

_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64", "UINT8": "uint8"}


def open_engine(model: ConfiguredModel) -> Engine:
    """The engine of this GPU, checked against its sidecar and ready. Raises RefusedModelError."""
    if model.device != "cuda":
        raise RefusedModelError(
            f"{model.name} is a TensorRT engine and needs an NVIDIA GPU, its instance_group asks for the CPU; "
            "serve the onnxruntime variant there"
        )
    if not model.max_batch_size:
        raise RefusedModelError(f"{model.name} has max_batch_size 0; an engine is served in batches of at least 1")
    require_fixed_shapes(model)
    cuda = GraphCuda(model.device_id, is_shared=model.is_grouped)
    with refuse_on_error():
        capability = cuda.capability()
    path = model.folder / file_for_capability(model.capability_files, model.file_name, capability)
    if not path.is_file():
        raise RefusedModelError(f"{path} does not exist; export the model again for this GPU")
    record = read_sidecar(path)
    check_sidecar(path, record, capability)
    return TensorrtEngine(model, cuda, import_library(record), path, record)


class TensorrtEngine(GpuEngine):
    """A plan on a GPU. TensorRT's objects refer to each other: all of them live as long as this one."""

    _cuda: GraphCuda

    def __init__(self, model: ConfiguredModel, cuda: GraphCuda, trt: Any, path: Path, record: dict[str, Any]) -> None:
        """Load the plan, warm up every batch size and record its graph. Raises RefusedModelError.

        trt: the library that built it. record: the plan's sidecar.
        """
        self._trt = trt
        self._path = path
        self._record = record
        super().__init__(model, cuda)

    def _load(self) -> None:
        self._logger = self._trt.Logger(self._trt.ILogger.ERROR)
        self._runtime = self._trt.Runtime(self._logger)
        self._plan = self._runtime.deserialize_cuda_engine(self._path.read_bytes())
        if self._plan is None:
            raise RefusedModelError(
                f"{self._record['library']} {self._record['library_version']} cannot load {self._path.name} on this "
                f"GPU; the server's log has its reason. Rebuild it: {self._record['rebuild']}"
            )
        check_engine(self._model, self._trt, self._plan)

    def _bind(self) -> None:
        self._context = _execution_context(self._trt, self._plan)
        for io, address in zip(self._model.inputs, self.batch.input_addresses, strict=True):
            self._context.set_tensor_address(io.name, address)
        for io, address in zip(self._model.outputs, self.batch.output_addresses, strict=True):
            self._context.set_tensor_address(io.name, address)

    def _execution(self, size: int) -> Execution:
        return partial(self._launch, size)

    def _launch(self, size: int) -> None:
        for io in self._model.inputs:
            self._context.set_input_shape(io.name, io.shape(size))
        if not self._context.execute_async_v3(self._cuda.stream):
            raise RuntimeError(f"TensorRT could not run a batch of {size}; the server's log has its reason")

    def _recorded(self, size: int) -> Execution:
        return partial(self._cuda.replay, self._cuda.record(partial(self._launch, size)))


def check_engine(model: ConfiguredModel, trt: Any, engine: Any) -> None:
    """Raise RefusedModelError where the genuine backend would: names, dtypes, dims, batches outside the profile."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs, outputs = (
        {name: _node(engine, name) for name in names if engine.get_tensor_mode(name) == mode}
        for mode in (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT)
    )
    check_against_config(model, inputs, outputs)
    for io in model.inputs:
        smallest, _, largest = (shape[0] for shape in engine.get_tensor_profile_shape(io.name, 0))
        if smallest > 1 or largest < model.max_batch_size:
            raise RefusedModelError(
                f"the engine takes batches of {smallest} to {largest}, config.pbtxt states max_batch_size "
                f"{model.max_batch_size}; export the model again"
            )


def _node(engine: Any, name: str) -> Node:
    dtype = engine.get_tensor_dtype(name).name
    return Node(_DTYPES.get(dtype, dtype.lower()), tuple(engine.get_tensor_shape(name)))


def _execution_context(trt: Any, engine: Any) -> Any:
    """An execution context. `tensorrt_rtx` compiles kernels on this GPU: EAGER does so within a shape's first run."""
    strategy = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
    if strategy is None:
        context = engine.create_execution_context()
    else:
        config = engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = strategy.EAGER
        context = engine.create_execution_context(config)
    if context is None:
        raise RefusedModelError("TensorRT cannot create an execution context: not enough free GPU memory")
    return context
