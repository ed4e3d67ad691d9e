"""The two ways a torch program runs: on arrays on the CPU, or in fixed buffers on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from ..batches import ArrayInput, Arrays, Part, bucket_for, run_joined, zeros_for
from ..cuda.buffers import DeviceBatch
from ..cuda.driver import Cuda, refuse_on_error
from ..model import ConfiguredModel, RefusedModelError
from ..trace import StageTimes
from .torch_programs import Program, check_results, load_program, torch_device

WARM_RUNS = 3


def open_engine(model: ConfiguredModel) -> CpuEngine | CudaEngine:
    """The engine of the model's device, warm. Raises RefusedModelError."""
    program = load_program(model)
    return CudaEngine(model, program) if model.device == "cuda" else CpuEngine(model, program)


class CpuEngine:
    """A torch program on the CPU."""

    gpu_bytes = 0

    def __init__(self, model: ConfiguredModel, program: Program) -> None:
        self._program = program

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part."""
        return run_joined(parts, self.run_arrays)

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch."""
        with torch.inference_mode():
            tensors = [torch.from_dlpack(array) for array in arrays]
            return [result.numpy() for result in self._program.run(len(tensors[0]), tensors)]


class CudaEngine:
    """A torch program on a GPU, with a CUDA graph per batch size where the card asks for it.

    Without graphs a batch runs at its own size, as in the genuine backend. With graphs, or with packages of fixed
    sizes, it runs in the smallest prepared size that holds it; the rows behind it are stale.
    """

    def __init__(self, model: ConfiguredModel, program: Program) -> None:
        """Warm up every batch size and record its graph. Raises RefusedModelError."""
        if not model.has_fixed_shapes:
            raise RefusedModelError(
                f"{model.name} has variable dimensions besides the batch; on a GPU this backend needs fixed ones: "
                "export with fixed dimensions or for the CPU"
            )
        self._model = model
        self._program = program
        self._cuda = Cuda(model.device_id)
        self.times = StageTimes(model.name, self._cuda.synchronize)
        with refuse_on_error():
            used_before = self._cuda.used_bytes()
            self.batch = DeviceBatch(self._cuda, model)
            self._device = torch_device(model)
            self._stream = torch.cuda.ExternalStream(self._cuda.stream, self._device)
            self._thread = 0
            self._pool = torch.cuda.graph_pool_handle()
            self._inputs = [
                torch.as_tensor(_DeviceArray(address, io.shape(model.buckets[-1]), io.dtype.str), device=self._device)
                for io, address in zip(model.inputs, self.batch.input_addresses, strict=True)
            ]
            self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]] = {}
            # The largest first: what its graph leaves free in the pool is enough for the smaller ones.
            for size in reversed(model.buckets):
                self._prepare(size)
            if self._graphs:
                torch.cuda.empty_cache()  # the warm-up's memory; graphs have their own
            self.gpu_bytes = self._cuda.used_bytes() - used_before

    def run(self, parts: Sequence[Part]) -> list[Arrays]:
        """The outputs of each part, valid until the next run."""
        self.times.begin()
        sizes = self.batch.load(parts)
        self.times.mark("input")
        results = self.start(sum(sizes) if self._model.max_batch_size else 0)
        self.times.mark("engine")
        outputs = self.batch.fetch(sizes, [result.data_ptr() for result in results])
        self.times.mark("output")
        self.times.end()
        return outputs

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch in host memory, copied."""
        (outputs,) = self.run([[ArrayInput(array) for array in arrays]])
        return [output.copy() for output in outputs]

    def start(self, rows: int) -> list[torch.Tensor]:
        """Start one batch that lies in the buffers; its results, on the GPU."""
        if self._graphs or 0 not in self._program.calls:
            rows = bucket_for(rows, self._model.buckets)
        if rows in self._graphs:
            graph, outputs = self._graphs[rows]
            self._use_stream()
            graph.replay()
            return outputs
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            return self._program.run(rows, self._rows_of_inputs(rows))

    def _use_stream(self) -> None:
        """Make the stream this thread's, once: torch's own block for it costs as much as starting a graph."""
        if self._thread != threading.get_ident():
            torch.cuda.set_stream(self._stream)
            self._thread = threading.get_ident()

    def wait(self) -> None:
        """Return when everything that was started is done."""
        self._cuda.synchronize()

    def _rows_of_inputs(self, rows: int) -> list[torch.Tensor]:
        return [tensor[:rows] if self._model.max_batch_size else tensor for tensor in self._inputs]

    def _prepare(self, size: int) -> None:
        """Warm up one batch size, as often as torch's own tuning needs, and record its graph."""
        what = "fails"
        try:
            check_results(self._model, size, self.start(size))
            for _ in range(WARM_RUNS):
                self.run_arrays(zeros_for(self._model, size))
            if self._model.card.get("cuda_graphs"):
                what = "cannot be recorded as a CUDA graph"
                self._graphs[size] = self._record(size)
        except Exception as exc:  # whatever torch raises is the reason
            remedy = "" if what == "fails" else "; set cuda_graphs = false for this variant and export again"
            raise RefusedModelError(f"{self._model.name} {what} at batch {max(size, 1)}: {exc}{remedy}") from exc

    def _record(self, size: int) -> tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]:
        graph = torch.cuda.CUDAGraph()
        inputs = self._rows_of_inputs(size)
        # All graphs share one pool: they never run at the same time, and outputs are fetched before the next one runs.
        with torch.inference_mode(), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            outputs = self._program.run(size, inputs)
        return graph, outputs


class _DeviceArray:
    """Memory on the GPU that is not torch's own, in the form that torch takes."""

    def __init__(self, address: int, shape: tuple[int, ...], type_string: str) -> None:
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": type_string,
            "version": 3,
        }
