"""The two ways a torch program runs: on arrays on the CPU, or in fixed buffers on a GPU."""

from __future__ import annotations

import threading
from functools import partial

import torch

from ..batches import Arrays
from ..cuda.buffers import DeviceOutputs
from ..cuda.driver import Cuda
from ..engine import CpuEngine, Engine
from ..gpu_engine import Execution, GpuEngine, require_fixed_shapes
from ..model import ConfiguredModel
from .torch_programs import Program, check_results, load_program, torch_device


def open_engine(model: ConfiguredModel) -> Engine:
    """The engine of the model's device, warm. Raises RefusedModelError."""
    program = load_program(model)
    if model.device != "cuda":
        return TorchCpuEngine(program)
    require_fixed_shapes(model)
    return TorchGpuEngine(model, Cuda(model.device_id, is_shared=model.is_grouped), program)


class TorchCpuEngine(CpuEngine):
    """A torch program on the CPU."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch."""
        with torch.inference_mode():
            tensors = [torch.from_dlpack(array) for array in arrays]
            return [result.numpy() for result in self._program.run(len(tensors[0]), tensors)]


class TorchGpuEngine(GpuEngine):
    """A torch program on a GPU, with a CUDA graph per batch size where the card asks for it.

    Without graphs a batch runs at its own size, as in the genuine backend. With graphs, or with packages of fixed
    sizes, it runs in the smallest prepared size that holds it; the rows behind it are stale.
    """

    def __init__(self, model: ConfiguredModel, cuda: Cuda, program: Program) -> None:
        """Warm up every batch size and record its graph. Raises RefusedModelError."""
        self._program = program
        self._thread = 0
        super().__init__(model, cuda)

    def start(self, rows: int) -> DeviceOutputs | None:
        """Start one batch that lies in the buffers; where its outputs come to lie."""
        if self._cuda_graphs or 0 not in self._program.calls:
            return super().start(rows)
        return self._launch(rows)

    def _load(self) -> None:
        """The program is there already; this is what it works with."""
        self._device = torch_device(self._model)
        self._stream = torch.cuda.ExternalStream(self._cuda.stream, self._device)
        self._pool = torch.cuda.graph_pool_handle()

    def _bind(self) -> None:
        self._inputs = [
            torch.as_tensor(_DeviceArray(address, io.shape(self._buckets[-1]), io.dtype.str), device=self._device)
            for io, address in zip(self._model.inputs, self.batch.input_addresses, strict=True)
        ]

    def _prepare_sizes(self) -> None:
        super()._prepare_sizes()
        if self._cuda_graphs:
            torch.cuda.empty_cache()  # the warm-up's memory; graphs have their own

    def _warm_up(self, size: int) -> None:
        check_results(self._model, size, self._launch(size).owner)
        super()._warm_up(size)

    def _execution(self, size: int) -> Execution:
        return partial(self._launch, size)

    def _launch(self, rows: int) -> DeviceOutputs:
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            results = self._program.run(rows, self._rows_of_inputs(rows))
        return _device_outputs(results)

    def _recorded(self, size: int) -> Execution:
        graph = torch.cuda.CUDAGraph()
        inputs = self._rows_of_inputs(size)
        # All graphs share one pool: they never run at the same time, and outputs are fetched before the next one runs.
        # Where other models serve meanwhile, what they do is no part of it and no fault.
        mode = {"capture_error_mode": "thread_local"} if self._model.is_grouped else {}
        with torch.inference_mode(), torch.cuda.graph(graph, pool=self._pool, stream=self._stream, **mode):
            results = self._program.run(size, inputs)
        outputs = _device_outputs(results)

        def replay() -> DeviceOutputs:
            self._use_stream()
            graph.replay()
            return outputs

        return replay

    def _use_stream(self) -> None:
        """Make the stream this thread's, once: torch's own block for it costs as much as starting a graph."""
        if self._thread != threading.get_ident():
            torch.cuda.set_stream(self._stream)
            self._thread = threading.get_ident()

    def _rows_of_inputs(self, rows: int) -> list[torch.Tensor]:
        return [tensor[:rows] if self._model.max_batch_size else tensor for tensor in self._inputs]


def _device_outputs(results: list[torch.Tensor]) -> DeviceOutputs:
    return DeviceOutputs([result.data_ptr() for result in results], results)


class _DeviceArray:
    """Memory on the GPU that is not torch's own, in the form that torch takes."""

    def __init__(self, address: int, shape: tuple[int, ...], type_string: str) -> None:
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": type_string,
            "version": 3,
        }
