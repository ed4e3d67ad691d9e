"""How an ONNX model runs: on arrays on the CPU, or in fixed buffers on a GPU with a CUDA graph per batch size."""

from __future__ import annotations

from functools import partial
from typing import Any

import onnxruntime as ort

from ..batches import Arrays
from ..cuda.driver import Cuda
from ..engine import CpuEngine, Engine
from ..gpu_engine import Execution, GpuEngine, require_fixed_shapes
from ..model import ConfiguredModel
from .onnx_sessions import (
    batch_dimension,
    check_cuda_provider,
    check_session,
    cpu_session,
    cuda_session,
    share_working_memory,
)
from .tensorrt_provider import ACCELERATOR, tensorrt_session


def open_engine(model: ConfiguredModel) -> Engine:
    """The engine of the model's device, warm. Raises RefusedModelError."""
    if model.device != "cuda":
        return OnnxCpuEngine(model)
    require_fixed_shapes(model)
    return OnnxGpuEngine(model, Cuda(model.device_id, is_shared=model.is_grouped))


class OnnxCpuEngine(CpuEngine):
    """An ONNX model on the CPU."""

    def __init__(self, model: ConfiguredModel) -> None:
        """Load the model. Raises RefusedModelError."""
        self._session = cpu_session(model)
        check_session(model, self._session)
        self._input_names = [io.name for io in model.inputs]
        self._output_names = [io.name for io in model.outputs]

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch."""
        outputs: Arrays = self._session.run(self._output_names, dict(zip(self._input_names, arrays, strict=True)))
        return outputs


class OnnxGpuEngine(GpuEngine):
    """An ONNX model on a GPU: every prepared batch size bound to the same fixed buffers.

    Each size has a session with all shapes fixed: a session that meets another size plans its convolutions anew, and
    frees memory that graphs recorded before still use (ONNX Runtime 1.31.1, seen as an illegal access on an H100). The
    sessions share their working memory.
    """

    def _load(self) -> None:
        self._dimension = batch_dimension(self._model)

    def _bind(self) -> None:
        """All sessions, before any of them runs."""
        if ACCELERATOR not in self._model.accelerators:
            check_cuda_provider(self._model)
            if not self._model.is_grouped:  # whoever shares it must not run at the same time
                share_working_memory(self._model.device_id)
        self._sessions = {
            size: self._session({self._dimension: size} if self._dimension else {}) for size in self._buckets
        }

    def _session(self, fixed: dict[str, int]) -> Any:
        make = tensorrt_session if ACCELERATOR in self._model.accelerators else cuda_session
        return make(self._model, stream=self._cuda.stream, cuda_graphs=self._cuda_graphs, fixed=fixed)

    def _execution(self, size: int) -> Execution:
        """One batch size bound to the fixed buffers; the call starts one execution."""
        binding = self._sessions[size].io_binding()
        device = ("cuda", self._model.device_id)
        for io, address in zip(self._model.inputs, self.batch.input_addresses, strict=True):
            binding.bind_input(io.name, *device, io.dtype.type, io.shape(size), address)
        for io, address in zip(self._model.outputs, self.batch.output_addresses, strict=True):
            binding.bind_output(io.name, *device, io.dtype.type, io.shape(size), address)
        options = ort.RunOptions()
        # The outputs are copied on the same stream, which is then waited for once.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        return partial(self._sessions[size].run_with_iobinding, binding, options)

    def _warm_up(self, size: int) -> None:
        """With graphs it is the recording: the session records its first run by itself."""
        if not self._cuda_graphs:
            super()._warm_up(size)

    def _recorded(self, size: int) -> Execution:
        super()._warm_up(size)
        return self._executions[size]
