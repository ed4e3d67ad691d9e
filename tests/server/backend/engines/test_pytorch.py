"""The torch engine on a stand-in for CUDA: the CPU's tensors in fixed buffers, graphs that run their work again."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from photofinish.server.backend.batches import ArrayInput
from photofinish.server.backend.engines import pytorch
from photofinish.server.backend.engines.torch_programs import Program
from photofinish.server.backend.model import ConfiguredModel, RefusedModelError
from tests.server.backend.engines.test_tensorrt import HostCuda, frames, served, sums


class Gpu:
    """What of torch.cuda the engine uses; work on the "GPU" is done at once, or recorded and done by replays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.recording: list[Callable[[], None]] | None = None
        for name in ("ExternalStream", "stream", "graph", "CUDAGraph", "graph_pool_handle", "set_stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: self.events.append("empty"))
        monkeypatch.setattr(pytorch, "torch_device", lambda model: torch.device("cpu"))
        monkeypatch.setattr(pytorch, "_DeviceArray", array_at)

    def ExternalStream(self, stream: int, device: torch.device) -> int:  # noqa: N802
        return stream

    def graph_pool_handle(self) -> str:
        return "pool"

    def set_stream(self, stream: int) -> None:
        self.events.append("stream")

    @contextlib.contextmanager
    def stream(self, stream: int) -> Iterator[None]:
        assert stream == HostCuda.stream
        yield

    def CUDAGraph(self) -> Any:  # noqa: N802
        graph = SimpleNamespace(work=[])

        def replay() -> None:
            self.events.append("replay")
            with torch.inference_mode():
                for launch in graph.work:
                    launch()

        graph.replay = replay
        return graph

    @contextlib.contextmanager
    def graph(self, graph: Any, *, pool: str, stream: int) -> Iterator[None]:
        assert (pool, stream) == ("pool", HostCuda.stream)
        self.recording = graph.work
        yield
        self.recording = None

    def summing(self, pictures: torch.Tensor) -> torch.Tensor:
        """A program: each picture's sum, and the sum plus one and two."""
        self.events.append(f"run {len(pictures)}")
        rows = torch.empty(len(pictures), 3)

        def launch() -> None:
            rows.copy_(pictures.float().sum(dim=(1, 2, 3))[:, None] + torch.arange(3))

        launch()
        if self.recording is not None:
            self.recording.append(launch)
        return rows


def array_at(address: int, shape: tuple[int, ...], type_string: str) -> np.ndarray[Any, np.dtype[Any]]:
    size = int(np.prod(shape)) * np.dtype(type_string).itemsize
    return np.frombuffer((ctypes.c_ubyte * size).from_address(address), type_string).reshape(shape)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def opened(model: ConfiguredModel, call: Callable[..., Any], sizes: tuple[int, ...] = (0,)) -> pytorch.TorchGpuEngine:
    program = Program(calls=dict.fromkeys(sizes, call), inputs=(0,), outputs=(0,))
    return pytorch.TorchGpuEngine(model, HostCuda(), program)  # type: ignore[arg-type]


def answers(engine: pytorch.TorchGpuEngine, sizes: tuple[int, ...]) -> None:
    """An earlier, larger batch leaves rows behind; they must not leak into later answers."""
    engine.run_arrays([frames(8, 100)])
    batches = [frames(size, 10 * (index + 1)) for index, size in enumerate(sizes)]
    for batch, (rows,) in zip(batches, engine.run([[ArrayInput(batch)] for batch in batches]), strict=True):
        np.testing.assert_array_equal(rows, sums(batch))


GRAPHS = {"batch_buckets": [1, 2, 4, 8], "cuda_graphs": True}


@pytest.mark.parametrize(("sizes", "bucket"), [((1,), 1), ((1, 2), 4), ((3, 1, 4), 8)])
def test_graphs_are_replayed_in_the_next_prepared_size(gpu: Gpu, sizes: tuple[int, ...], bucket: int) -> None:
    engine = opened(served(card=GRAPHS), gpu.summing)
    assert gpu.events[-1] == "empty", "the warm-up's memory is kept"
    # Tried once, three times warm, then recorded; the largest first.
    assert gpu.events[:-1] == [f"run {size}" for size in (8, 4, 2, 1) for _ in range(5)]
    gpu.events.clear()
    answers(engine, sizes)
    assert gpu.events == ["stream", "replay", "replay"], "the stream is made this thread's once"
    addresses = engine.start(bucket)
    assert addresses is not None
    assert addresses == engine.start(sum(sizes)), "a graph's outputs lie where they were recorded"


def test_without_graphs_a_batch_runs_at_its_own_size(gpu: Gpu) -> None:
    engine = opened(served(), gpu.summing)
    assert "empty" not in gpu.events
    gpu.events.clear()
    answers(engine, (1, 2))
    assert gpu.events == ["run 8", "run 3"]


def test_packages_of_fixed_sizes_run_in_the_next_one(gpu: Gpu) -> None:
    engine = opened(served(), gpu.summing, sizes=(1, 2, 4, 8))
    gpu.events.clear()
    answers(engine, (1, 2))
    assert gpu.events == ["run 8", "run 4"]


@pytest.mark.parametrize("graphs", [True, False])
def test_a_program_that_fails_says_at_which_batch(gpu: Gpu, graphs: bool) -> None:
    def failing(pictures: torch.Tensor) -> torch.Tensor:
        if gpu.recording is not None or not graphs:
            raise RuntimeError("no such kernel")
        return gpu.summing(pictures)

    said = "cannot be recorded as a CUDA graph at batch 8: no such kernel; set cuda_graphs = false"
    with pytest.raises(RefusedModelError, match=said if graphs else "fails at batch 8: no such kernel$"):
        opened(served(card={**GRAPHS, "cuda_graphs": graphs}), failing)


def test_outputs_of_another_shape_are_refused(gpu: Gpu) -> None:
    with pytest.raises(RefusedModelError, match=r"fails at batch 8: output 'detections' is torch.float32 with shape"):
        opened(served(), lambda pictures: gpu.summing(pictures)[:, :2])
