"""What all engines on a GPU share: fixed buffers, one prepared execution for each batch size, one way to run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .batches import ArrayInput, Arrays, Part, bucket_for, zeros_for
from .cuda.buffers import DeviceBatch, DeviceOutputs
from .cuda.driver import Cuda, refuse_on_error
from .model import ConfiguredModel, RefusedModelError
from .trace import StageTimes

WARM_RUNS = 3
"""Runs of each batch size before it is recorded: libraries load, compile or tune their kernels in the first ones."""
Execution = Callable[[], DeviceOutputs | None]
"""Starts one batch size on what lies in the buffers; where its outputs come to lie, if not in the batch's own."""
_UNRECORDED = "cannot be recorded as a CUDA graph"


class Begun(NamedTuple):
    """An execution that was started: the rows of its parts, and what keeps its outputs on the GPU."""

    sizes: list[int]
    outputs: DeviceOutputs | None


class GpuEngine(ABC):
    """A model on a GPU. A batch runs in the smallest prepared size that holds it; the rows behind it are stale.

    An engine says what differs: how it loads the model, how it binds it to the buffers, how one batch size is started,
    and how that is recorded as a CUDA graph.
    """

    def __init__(self, model: ConfiguredModel, cuda: Cuda) -> None:
        """Load the model, warm up every batch size and record its graph. Raises RefusedModelError."""
        self._model = model
        self._cuda = cuda
        self._cuda_graphs = bool(model.card.get("cuda_graphs"))
        self._buckets = model.buckets
        self._executions: dict[int, Execution] = {}
        self.times = StageTimes(model.name, cuda.synchronize)
        with refuse_on_error():
            # Without graphs it serves as the tutorials' backends do; a context that others use is as it is.
            if self._cuda_graphs and not model.is_grouped:
                cuda.shrink_stacks()
            used_before = cuda.used_bytes()
            self._load()
            self.batch = DeviceBatch(cuda, model)
            self._bind()
            self._prepare_sizes()
            self.gpu_bytes = cuda.used_bytes() - used_before

    def run(self, parts: Sequence[Part], slot: int = 0) -> list[Arrays]:
        """The outputs of each part, valid until the next run in this slot."""
        is_timed = self.times.begin()
        sizes = self.batch.load(parts, slot)
        if is_timed:
            self.times.mark("input")
        started = self.start(sum(sizes) if self._model.max_batch_size else 0)
        if is_timed:
            self.times.mark("engine")
        outputs = self.batch.fetch(sizes, started, slot)
        if is_timed:
            self.times.mark("output")
            self.times.end()
        return outputs

    def prepare_slots(self, count: int) -> None:
        """Make room for so many executions at once. Raises RefusedModelError."""
        if count == 1:  # it is there; what others allocate meanwhile is not this model's
            return
        with refuse_on_error():
            used_before = self._cuda.used_bytes()
            self.batch.prepare_slots(count)
            self.gpu_bytes += self._cuda.used_bytes() - used_before

    def begin(self, parts: Sequence[Part], slot: int, *, is_alone: bool) -> Begun:
        """Start the parts together behind whatever runs, and return at once.

        is_alone: nothing runs, so its inputs need not wait beside the buffers that the engine reads.
        """
        sizes = self.batch.load(parts, slot) if is_alone else self.batch.load_ahead(parts, slot)
        started = self.start(sum(sizes) if self._model.max_batch_size else 0)
        self.batch.fetch_later(sizes, started, slot)
        return Begun(sizes, started)

    def start(self, rows: int) -> DeviceOutputs | None:
        """Start one batch that lies in the buffers: so many rows, 0 without a batch dimension.

        Where its outputs come to lie, if not in the buffers. `wait` or `fetch` knows when they are there.
        """
        return self._executions[bucket_for(rows, self._buckets)]()

    def wait(self) -> None:
        """Return when everything that was started is done."""
        self._cuda.synchronize()

    def run_arrays(self, arrays: Arrays) -> Arrays:
        """The outputs of one batch in host memory, copied."""
        (outputs,) = self.run([[ArrayInput(array) for array in arrays]])
        return [output.copy() for output in outputs]

    def _prepare_sizes(self) -> None:
        # The largest first: what it leaves free, on the GPU and in a graph's pool, is enough for the smaller ones.
        for size in reversed(self._buckets):
            self._executions[size] = self._execution(size)
            self._prepare(size)

    def _prepare(self, size: int) -> None:
        """Warm up one batch size and record its graph."""
        what = "fails"
        try:
            self._warm_up(size)
            if self._cuda_graphs:
                what = _UNRECORDED
                self._executions[size] = self._recorded(size)
        except Exception as exc:  # whatever the library or CUDA raises is the reason
            remedy = "; set cuda_graphs = false for this variant and export again" if what == _UNRECORDED else ""
            raise RefusedModelError(f"{self._model.name} {what} at batch {max(size, 1)}: {exc}{remedy}") from exc

    def _warm_up(self, size: int) -> None:
        for _ in range(WARM_RUNS):
            self.run_arrays(zeros_for(self._model, size))

    @abstractmethod
    def _load(self) -> None:
        """Load the model and check it; there are no buffers yet."""

    @abstractmethod
    def _bind(self) -> None:
        """Make ready what works on the buffers' addresses."""

    @abstractmethod
    def _execution(self, size: int) -> Execution:
        """What starts one batch size, without a graph that we record."""

    @abstractmethod
    def _recorded(self, size: int) -> Execution:
        """What `_execution` of that size starts, as a CUDA graph. Whatever it raises is told as the reason."""


def require_fixed_shapes(model: ConfiguredModel) -> None:
    """Raise RefusedModelError for a model with variable dimensions besides the batch: buffers have one size."""
    if not model.has_fixed_shapes:
        raise RefusedModelError(
            f"{model.name} has variable dimensions besides the batch; on a GPU this backend needs fixed ones: "
            "export with fixed dimensions or for the CPU"
        )
