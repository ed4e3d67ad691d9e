"""How an ONNX model runs: on arrays on the CPU, or in fixed buffers on a GPU with a CUDA graph per batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import onnxruntime as ort

from ..batches import ArrayInput, Arrays, Part, bucket_for, run_joined, zeros_for
from ..cuda.buffers import DeviceBatch
from ..cuda.driver import Cuda, refuse_on_error
from ..model import ConfiguredModel, RefusedModelError
from ..trace import StageTimes
from .onnx_sessions import (
    batch_dimension,
    check_cuda_provider,
    check_session,
    cpu_session,
    cuda_session,
    share_working_memory,
)
from .tensorrt_provider import ACCELERATOR, tensorrt_session

WARM_RUNS = 3


def open_engine(model: ConfiguredModel) -> CpuEngine | CudaEngine:
    """The engine of the model's device, warm. Raises RefusedModelError."""
    return CudaEngine(model) if model.device == "cuda" else CpuEngine(model)


class CpuEngine:
    """An ONNX model on the CPU."""

    gpu_bytes = 0

    def __init__(self, model: ConfiguredModel) -> None:
        """Load the model. Raises RefusedModelError."""
        self._session = cpu_session(model)
        check_session(model, self._session)
        self._input_names = [io.name for io in model.inputs]
        self._output_names = [io.name for io in model.outputs]

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part."""
        return run_joined(parts, self.run_arrays)

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch."""
        outputs: Arrays = self._session.run(self._output_names, dict(zip(self._input_names, arrays, strict=True)))
        return outputs


class CudaEngine:
    """An ONNX model on a GPU: every prepared batch size bound to the same fixed buffers.

    Each size has a session with all shapes fixed: a session that meets another size plans its convolutions anew, and
    frees memory that graphs recorded before still use (ONNX Runtime 1.31.1, seen as an illegal access on an H100). The
    sessions share their working memory. A batch runs in the smallest size that holds it; the rows behind it are stale.
    """

    def __init__(self, model: ConfiguredModel) -> None:
        """Load the model, record its CUDA graphs and warm up every batch size. Raises RefusedModelError."""
        if not model.has_fixed_shapes:
            raise RefusedModelError(
                f"{model.name} has variable dimensions besides the batch; on a GPU this backend needs fixed ones: "
                "export with fixed dimensions or for the CPU"
            )
        self._model = model
        self._cuda_graphs = bool(model.card.get("cuda_graphs"))
        self._is_tensorrt = ACCELERATOR in model.accelerators
        self._cuda = Cuda(model.device_id)
        self.times = StageTimes(model.name, self._cuda.synchronize)
        with refuse_on_error():
            used_before = self._cuda.used_bytes()
            dimension = batch_dimension(model)
            self.batch = DeviceBatch(self._cuda, model)
            self._runs: dict[int, Callable[[], None]] = {}
            if not self._is_tensorrt:
                check_cuda_provider(model)
                share_working_memory(model.device_id)
            sessions = {size: self._session({dimension: size} if dimension else {}) for size in model.buckets}
            # The largest first: what it leaves free is enough for the smaller ones.
            for size in reversed(model.buckets):
                self._runs[size] = self._bind(sessions[size], size)
                self._warm_up(size)
            self.gpu_bytes = self._cuda.used_bytes() - used_before

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part, valid until the next run."""
        self.times.begin()
        sizes = self.batch.load(parts)
        self.times.mark("input")
        size = bucket_for(sum(sizes), self._model.buckets) if self._model.max_batch_size else 0
        self._runs[size]()
        self.times.mark("engine")
        outputs = self.batch.fetch(sizes)
        self.times.mark("output")
        self.times.end()
        return outputs

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch in host memory, copied."""
        (outputs,) = self.run([[ArrayInput(array) for array in arrays]])
        return [output.copy() for output in outputs]

    def _session(self, fixed: dict[str, int]) -> Any:
        make = tensorrt_session if self._is_tensorrt else cuda_session
        return make(self._model, stream=self._cuda.stream, cuda_graphs=self._cuda_graphs, fixed=fixed)

    def _bind(self, session: Any, size: int) -> Callable[[], None]:
        """One batch size bound to the fixed buffers; the call starts one execution."""
        binding = session.io_binding()
        device = ("cuda", self._model.device_id)
        for io, address in zip(self._model.inputs, self.batch.input_addresses, strict=True):
            binding.bind_input(io.name, *device, io.dtype.type, io.shape(size), address)
        for io, address in zip(self._model.outputs, self.batch.output_addresses, strict=True):
            binding.bind_output(io.name, *device, io.dtype.type, io.shape(size), address)
        options = ort.RunOptions()
        # The outputs are copied on the same stream, which is then waited for once.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        return partial(session.run_with_iobinding, binding, options)

    def _warm_up(self, size: int) -> None:
        """Run one batch size; the first run records its graph."""
        try:
            for _ in range(WARM_RUNS):
                self.run_arrays(zeros_for(self._model, size))
        except Exception as exc:  # whatever the engine raises is the reason
            what = "cannot be recorded as a CUDA graph" if self._cuda_graphs else "fails"
            remedy = "; set cuda_graphs = false for this variant and export again" if self._cuda_graphs else ""
            raise RefusedModelError(f"{self._model.name} {what} at batch {max(size, 1)}: {exc}{remedy}") from exc
