"""Executions that are begun while another one runs, on a stand-in for a GPU with two streams."""

from __future__ import annotations

import ctypes
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from photofinish.server.backend.batches import Arrays, Part
from photofinish.server.backend.cuda.driver import CudaError
from photofinish.server.backend.gpu_engine import Execution, GpuEngine
from photofinish.server.backend.lane.ahead import serve_ahead
from tests.server.backend.test_batches import HostInput, build_model, pictures, sums

FIRST = 1


class TwoStreamsCuda:
    """The calls of Cuda on host memory: each stream does its work in order, when chance lets it."""

    stream = FIRST

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.kept: list[np.ndarray] = []
        self.work: dict[int, deque[Callable[[], bool]]] = {FIRST: deque()}
        self.reached: dict[int, int] = {}
        self.wanted: dict[int, int] = {}
        self.fails = False

    def used_bytes(self) -> int:
        return sum(array.nbytes for array in self.kept)

    def pinned_array(self, size: int) -> np.ndarray:
        self.kept.append(np.zeros(size, np.uint8))
        return self.kept[-1]

    def allocate(self, size: int) -> int:
        return int(self.pinned_array(size).ctypes.data)

    def register(self, address: int, size: int) -> None:
        raise AssertionError("no shared memory of a server is mapped here")

    def make_current(self) -> None:
        pass

    def new_stream(self) -> int:
        self.work[len(self.work) + 1] = deque()
        return len(self.work)

    def new_event(self) -> int:
        event = len(self.reached) + 1
        self.reached[event] = self.wanted[event] = 0
        return event

    def set_event(self, event: int, stream: int) -> None:
        self.wanted[event] += 1
        self.later(stream, partial(self.reached.__setitem__, event, self.wanted[event]))

    def hold_until(self, event: int, stream: int) -> None:
        wanted = self.wanted[event]
        self.work[stream].append(lambda: self.reached[event] >= wanted)

    def is_reached(self, event: int) -> bool:
        if self.fails:
            raise CudaError("an illegal memory access")
        self.step()
        return self.reached[event] >= self.wanted[event]

    def copy_to_device(self, target: int, source: int, size: int, stream: int = 0) -> None:
        self.later(stream or FIRST, partial(ctypes.memmove, target, source, size))

    def copy_on_device(self, target: int, source: int, size: int, stream: int = 0) -> None:
        self.later(stream or FIRST, partial(ctypes.memmove, target, source, size))

    def copy_from_device(self, target: int, source: int, size: int) -> None:
        self.later(FIRST, partial(ctypes.memmove, target, source, size))

    def later(self, stream: int, do: Callable[[], Any]) -> None:
        def done() -> bool:
            do()
            return True

        self.work[stream].append(done)

    def step(self) -> None:
        """One of the streams does the next thing, unless it has to wait for the other."""
        ready = [work for work in self.work.values() if work]
        if ready:
            work = self.chance.choice(ready)
            if work[0]():
                work.popleft()

    def synchronize(self) -> None:
        while self.work[FIRST]:
            self.step()


class SumEngine(GpuEngine):
    """Adds up each picture's values; refuses to start a batch whose first value it was told."""

    refused = -1
    begun = 0

    def _load(self) -> None:
        pass

    def _bind(self) -> None:
        pass

    def _execution(self, size: int) -> Execution:
        return partial(self._launch, size)

    def _recorded(self, size: int) -> Execution:
        raise AssertionError("no graphs here")

    def _launch(self, size: int) -> None:
        given = np.frombuffer((ctypes.c_ubyte * (size * 6)).from_address(self.batch.input_addresses[0]), np.uint8)
        found = np.frombuffer((ctypes.c_ubyte * (size * 16)).from_address(self.batch.output_addresses[0]), np.float32)

        def compute() -> None:
            found[:] = sums([given.reshape(size, 2, 3)])[0].reshape(-1)

        self._cuda.later(FIRST, compute)

    def begin(self, parts: Sequence[Part], slot: int, *, is_alone: bool) -> Any:
        self.check(parts)
        begun = super().begin(parts, slot, is_alone=is_alone)
        self.begun += 1
        return begun

    def run(self, parts: Sequence[Part], slot: int = 0) -> list[Arrays]:
        self.check(parts)
        return super().run(parts, slot)

    def check(self, parts: Sequence[Part]) -> None:
        if any(part[0].array().flat[0] == self.refused for part in parts):
            raise RuntimeError("it is refused")


class OverError(Exception):
    """Everything is answered."""


class Lane:
    """The end of a lane whose bridge asks when chance lets it, and compares each answer at once."""

    slots = 2
    may_look = True

    def __init__(self, chance: random.Random, asked: int, *, refused: int = -1) -> None:
        self.chance = chance
        self.left = asked
        self.refused = refused
        self.number = 0
        self.running: deque[list[Any]] = deque()
        self.most_running = 0
        self.failed = 0

    @property
    def latest_slot(self) -> int:
        return self.number % self.slots

    def has_next(self) -> bool:
        return self.left > 0 and self.chance.random() < 0.5

    def wait(self) -> list[Any]:
        assert len(self.running) < self.slots
        if not self.left:
            raise OverError
        self.left -= 1
        self.number += 1
        parts: list[Any] = []
        for _ in range(self.chance.randrange(1, 4)):
            is_bad = self.chance.random() < 0.1
            frames = pictures(self.chance.randrange(1000), self.chance.randrange(1, 3))
            parts.append(ValueError("its shape") if is_bad else [HostInput(frames)])
        self.running.append(parts)
        self.most_running = max(self.most_running, len(self.running))
        return parts

    def answer(self, outcomes: Sequence[Any], input_ns: int, output_ns: int) -> None:
        parts = self.running.popleft()
        assert len(outcomes) == len(parts)
        for part, outcome in zip(parts, outcomes, strict=True):
            if isinstance(part, Exception):
                assert outcome is part
            elif isinstance(outcome, Exception):
                self.failed += 1
                assert part[0].kept.flat[0] == self.refused or "illegal" in str(outcome)
            else:
                np.testing.assert_array_equal(outcome[0], sums([part[0].kept])[0])


def engine_with_slots(chance: random.Random) -> SumEngine:
    engine = SumEngine(build_model(device="cuda"), TwoStreamsCuda(chance))  # type: ignore[arg-type]
    before = engine.gpu_bytes
    engine.prepare_slots(2)
    assert engine.gpu_bytes > before, "the memory of the second slot is not told"
    return engine


def test_with_one_slot_the_memory_told_is_what_loading_took() -> None:
    """Other models are loaded at the same time, and the driver tells what all of them use."""
    engine = SumEngine(build_model(device="cuda"), TwoStreamsCuda(random.Random(1)))  # type: ignore[arg-type]
    before, found = engine.gpu_bytes, iter((0, 1 << 30))
    engine._cuda.used_bytes = lambda: next(found)  # type: ignore[method-assign]
    engine.prepare_slots(1)
    assert engine.gpu_bytes == before


@pytest.mark.parametrize("seed", range(8))
def test_each_execution_gets_its_own_rows_however_the_streams_go_on(seed: int) -> None:
    chance = random.Random(seed)
    engine = engine_with_slots(chance)
    lane = Lane(chance, 200)
    with pytest.raises(OverError):
        serve_ahead(lane, build_model(), engine)  # type: ignore[arg-type]
    assert lane.most_running == 2
    assert lane.failed == 0
    assert not lane.running
    assert engine.begun > 150, "they were not started behind each other"


def test_a_request_that_cannot_be_started_fails_alone() -> None:
    chance = random.Random(3)
    engine = engine_with_slots(chance)
    lane = Lane(chance, 400, refused=7)
    engine.refused = 7
    with pytest.raises(OverError):
        serve_ahead(lane, build_model(), engine)  # type: ignore[arg-type]
    assert lane.failed > 0
    assert not lane.running


def test_a_gpu_that_fails_is_told_to_every_request_that_runs() -> None:
    chance = random.Random(4)
    engine = engine_with_slots(chance)
    lane = Lane(chance, 4)
    cuda: Any = engine._cuda

    def fail() -> None:
        raise CudaError("an illegal memory access")

    engine.times.is_next_timed = lambda: False  # type: ignore[method-assign]
    cuda.fails, cuda.synchronize = True, fail
    with pytest.raises(OverError):
        serve_ahead(lane, build_model(), engine)  # type: ignore[arg-type]
    assert lane.failed > 0


def test_what_comes_next_waits_beside_the_buffers_that_are_read() -> None:
    """The second batch is copied at once and moved only behind the first one's work."""
    chance = random.Random(5)
    engine = engine_with_slots(chance)
    cuda: Any = engine._cuda
    shared = np.frombuffer((ctypes.c_ubyte * 48).from_address(engine.batch.input_addresses[0]), np.uint8)
    one, two = pictures(1, 8), pictures(2, 8)
    engine.begin([[HostInput(one)]], 1, is_alone=True)
    cuda.work[FIRST].popleft()()
    engine.begin([[HostInput(two)]], 0, is_alone=False)
    while cuda.work[2]:
        cuda.work[2].popleft()()
    np.testing.assert_array_equal(shared, one.reshape(-1))
    own = np.frombuffer((ctypes.c_ubyte * 48).from_address(engine.batch.slot_addresses()[0][0]), np.uint8)
    np.testing.assert_array_equal(own, two.reshape(-1))
    while not engine.batch.is_fetched(0):
        pass
    np.testing.assert_array_equal(engine.batch.fetched([8], 1)[0][0], sums([one])[0])
    np.testing.assert_array_equal(engine.batch.fetched([8], 0)[0][0], sums([two])[0])
