"""A TensorRT engine in fixed buffers on a GPU, with a CUDA graph per batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..agreement import Node, check_against_config
from ..batches import ArrayInput, Arrays, Part, bucket_for, zeros_for
from ..cuda.buffers import DeviceBatch
from ..cuda.driver import refuse_on_error
from ..cuda.graphs import GraphCuda
from ..model import ConfiguredModel, RefusedModelError
from ..trace import StageTimes
from .tensorrt_sidecar import check_sidecar, file_for_capability, import_library, read_sidecar

WARM_RUNS = 3
"""Runs of each batch size before it is recorded: the library loads or compiles its kernels in the first ones."""
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64", "UINT8": "uint8"}


def open_engine(model: ConfiguredModel) -> CudaEngine:
    """The engine of this GPU, checked against its sidecar and ready. Raises RefusedModelError."""
    if model.device != "cuda":
        raise RefusedModelError(
            f"{model.name} is a TensorRT engine and needs an NVIDIA GPU, its instance_group asks for the CPU; "
            "serve the onnxruntime variant there"
        )
    if not model.max_batch_size:
        raise RefusedModelError(f"{model.name} has max_batch_size 0; an engine is served in batches of at least 1")
    cuda = GraphCuda(model.device_id)
    with refuse_on_error():
        capability = cuda.capability()
    path = model.folder / file_for_capability(model.capability_files, model.file_name, capability)
    if not path.is_file():
        raise RefusedModelError(f"{path} does not exist; export the model again for this GPU")
    record = read_sidecar(path)
    check_sidecar(path, record, capability)
    return CudaEngine(model, cuda, import_library(record), path, record)


class CudaEngine:
    """An engine on a GPU. A batch runs in the smallest prepared size that holds it; the rows behind it are stale."""

    def __init__(self, model: ConfiguredModel, cuda: Any, trt: Any, path: Path, record: dict[str, Any]) -> None:
        """Load the engine, warm up every batch size and record its graph. Raises RefusedModelError."""
        self._model = model
        self._cuda = cuda
        self.times = StageTimes(model.name, cuda.synchronize)
        with refuse_on_error():
            used_before = cuda.used_bytes()
            # TensorRT's objects refer to each other: all of them live as long as this one.
            self._logger = trt.Logger(trt.ILogger.ERROR)
            self._runtime = trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
            if self._engine is None:
                raise RefusedModelError(
                    f"{record['library']} {record['library_version']} cannot load {path.name} on this GPU; the "
                    f"server's log has its reason. Rebuild it: {record['rebuild']}"
                )
            check_engine(model, trt, self._engine)
            self.batch = DeviceBatch(cuda, model)
            self._context = _execution_context(trt, self._engine)
            for io, address in zip(model.inputs, self.batch.input_addresses, strict=True):
                self._context.set_tensor_address(io.name, address)
            for io, address in zip(model.outputs, self.batch.output_addresses, strict=True):
                self._context.set_tensor_address(io.name, address)
            self._graphs: dict[int, int] = {}
            # The largest first: what the library allocates for it serves the smaller ones too.
            for size in reversed(model.buckets):
                self._prepare(size)
            self.gpu_bytes = cuda.used_bytes() - used_before

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part, valid until the next run."""
        self.times.begin()
        sizes = self.batch.load(parts)
        self.times.mark("input")
        self.start(bucket_for(sum(sizes), self._model.buckets))
        self.times.mark("engine")
        outputs = self.batch.fetch(sizes)
        self.times.mark("output")
        self.times.end()
        return outputs

    def start(self, size: int) -> None:
        """Start an execution of one prepared batch size on what lies in the input buffers."""
        if size in self._graphs:
            self._cuda.replay(self._graphs[size])
        else:
            self._launch(size)

    def wait(self) -> None:
        """Return when everything that was started is done."""
        self._cuda.synchronize()

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch in host memory, copied."""
        (outputs,) = self.run([[ArrayInput(array) for array in arrays]])
        return [output.copy() for output in outputs]

    def _launch(self, size: int) -> None:
        for io in self._model.inputs:
            self._context.set_input_shape(io.name, io.shape(size))
        if not self._context.execute_async_v3(self._cuda.stream):
            raise RuntimeError(f"TensorRT could not run a batch of {size}; the server's log has its reason")

    def _prepare(self, size: int) -> None:
        """Warm up one batch size and record its graph."""
        what = "fails"
        try:
            for _ in range(WARM_RUNS):
                self.run_arrays(zeros_for(self._model, size))
            if self._model.card.get("cuda_graphs"):
                what = "cannot be recorded as a CUDA graph"
                self._graphs[size] = self._cuda.record(lambda: self._launch(size))
        except Exception as exc:  # whatever TensorRT or CUDA raises is the reason
            remedy = "" if what == "fails" else "; set cuda_graphs = false for this variant and export again"
            raise RefusedModelError(f"{self._model.name} {what} at batch {size}: {exc}{remedy}") from exc


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
