"""Joining, splitting and fixed buffers, without a server; host memory stands in for the GPU's."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest

from photofinish.server.backend.batches import (
    Arrays,
    Part,
    bucket_for,
    check_outputs,
    run_each,
    run_joined,
    split_outputs,
)
from photofinish.server.backend.cuda import driver
from photofinish.server.backend.cuda.buffers import DeviceBatch
from photofinish.server.backend.cuda.pages import SharedPages
from photofinish.server.backend.model import ConfiguredModel, Io, RefusedModelError
from photofinish.server.backend.trace import SAMPLED, StageTimes
from photofinish.server.triton.command import MAX_REGION_BYTES, MIN_REGION_BYTES, region_bytes


def build_model(**changes: object) -> ConfiguredModel:
    values: dict[str, object] = {
        "name": "toy",
        "folder": Path(),
        "file_name": "model.onnx",
        "inputs": (Io("frames", np.dtype(np.uint8), (2, 3)),),
        "outputs": (Io("rows", np.dtype(np.float32), (4,)),),
        "max_batch_size": 8,
        "device": "cpu",
        "device_id": 0,
        "instance_count": 1,
        "card": {"batch_buckets": [1, 2, 4, 8]},
    }
    return ConfiguredModel(**{**values, **changes})  # type: ignore[arg-type]


class HostInput:
    """An input in host memory, or one that says it is on the GPU."""

    def __init__(self, array: np.ndarray, *, on_gpu: bool = False) -> None:
        self.kept = array
        self.shape = array.shape
        self.on_gpu = on_gpu

    def array(self) -> np.ndarray:
        assert not self.on_gpu, "a GPU input must not be read by the CPU"
        return self.kept

    def location(self) -> tuple[int, bool]:
        return self.kept.ctypes.data, self.on_gpu


class HostCuda:
    """The calls of Cuda on host memory; copies are delayed until they are waited for, as on a stream."""

    stream = 1

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.waiting: list[tuple[int, int, int]] = []
        self.copies: list[str] = []

    def pinned_array(self, size: int) -> np.ndarray:
        self.blocks.append(np.zeros(size, np.uint8))
        return self.blocks[-1]

    def make_current(self) -> None:
        pass

    def allocate(self, size: int) -> int:
        return int(self.pinned_array(size).ctypes.data)

    def register(self, address: int, size: int) -> None:
        raise AssertionError("no shared memory of a server is mapped here")

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        assert stream == 0, "the first one"
        self._later("in", target, source, size)

    def copy_from_device(self, target: int, source: int, size: int) -> None:
        self._later("out", target, source, size)

    def copy_on_device(self, target: int, source: int, size: int, stream: int) -> None:
        assert stream == 0, "the first one"
        self._later("on", target, source, size)

    def _later(self, kind: str, target: int, source: int, size: int) -> None:
        self.copies.append(kind)
        self.waiting.append((target, source, size))

    def synchronize(self) -> None:
        for target, source, size in self.waiting:
            ctypes.memmove(target, source, size)
        self.waiting.clear()


def pictures(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 2, 3), dtype=np.uint8)


def sums(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.repeat(arrays[0].reshape(len(arrays[0]), -1).sum(1, keepdims=True), 4, axis=1).astype(np.float32)]


@pytest.mark.parametrize("sizes", [[1], [3], [1, 2, 1], [2, 2, 2, 2]])
def test_joined_parts_get_their_own_rows(sizes: list[int]) -> None:
    parts = [[HostInput(pictures(seed, rows))] for seed, rows in enumerate(sizes)]
    for part, outputs in zip(parts, run_joined(parts, sums), strict=True):
        np.testing.assert_array_equal(outputs[0], sums([part[0].kept])[0])


def test_one_part_is_not_copied() -> None:
    frames = pictures(0, 2)
    seen = []
    run_joined([[HostInput(frames)]], lambda arrays: seen.append(arrays[0]) or sums(arrays))
    assert seen[0] is frames


def test_an_output_with_too_few_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch of 3 gave an output of shape \(2, 4\)"):
        split_outputs([np.zeros((2, 4), np.float32)], [1, 2])


@pytest.mark.parametrize(("size", "bucket"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8)])
def test_the_next_bucket_is_taken(size: int, bucket: int) -> None:
    assert bucket_for(size, (1, 2, 4, 8)) == bucket


def test_no_bucket_is_large_enough() -> None:
    with pytest.raises(ValueError, match="larger than the largest prepared size 8"):
        bucket_for(9, (1, 8))


def test_buckets_end_at_the_largest_batch() -> None:
    assert build_model(card={"batch_buckets": [1, 4, 64]}, max_batch_size=6).buckets == (1, 4, 6)
    assert build_model(card={}).buckets == (1, 8)
    assert build_model(max_batch_size=0).buckets == (0,)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("sizes", [[1], [8], [1, 3, 2]])
def test_fixed_buffers_gather_and_scatter(on_gpu: bool, sizes: list[int]) -> None:
    cuda, model = HostCuda(), build_model()
    batch = DeviceBatch(cuda, model)
    for seed in (0, 10):
        parts = [[HostInput(pictures(seed + index, rows), on_gpu=on_gpu)] for index, rows in enumerate(sizes)]
        assert batch.load(parts) == sizes
        cuda.synchronize()
        on_device = (ctypes.c_ubyte * (8 * 6)).from_address(batch.input_addresses[0])
        frames = np.frombuffer(on_device, np.uint8).reshape(8, 2, 3)
        results = sums([frames])[0]
        ctypes.memmove(batch.output_addresses[0], results.ctypes.data, results.nbytes)
        for part, outputs in zip(parts, batch.fetch(sizes), strict=True):
            np.testing.assert_array_equal(outputs[0], sums([part[0].kept])[0])
    assert cuda.copies.count("on" if on_gpu else "in") == 2 * len(sizes)
    assert cuda.copies.count("out") == 2, "one copy back for a whole batch"


def device_rows(batch: DeviceBatch) -> np.ndarray:
    """What lies in the input buffer "on the GPU"."""
    return np.frombuffer((ctypes.c_ubyte * 48).from_address(batch.input_addresses[0]), np.uint8)


class AtAddress:
    """Rows that the bridge has put into the engine's own buffer."""

    def __init__(self, address: int, rows: int) -> None:
        self.address = address
        self.shape = (rows, 2, 3)

    def location(self) -> tuple[int, bool]:
        return self.address, True


def test_rows_that_are_in_place_are_not_copied() -> None:
    cuda = HostCuda()
    batch = DeviceBatch(cuda, build_model())
    start = batch.input_addresses[0]
    assert batch.load([[AtAddress(start, 3)], [AtAddress(start + 18, 5)]]) == [3, 5]
    assert cuda.copies == []


@pytest.mark.parametrize("skipped", [1, 2, 5])
def test_rows_that_move_down_survive_their_overlap(skipped: int) -> None:
    """A request that is run again alone lies behind where it belongs then."""
    cuda = HostCuda()
    batch = DeviceBatch(cuda, build_model())
    content = device_rows(batch)
    content[:] = np.arange(48)
    wanted = content[6 * skipped : 6 * skipped + 18].copy()
    batch.load([[AtAddress(batch.input_addresses[0] + 6 * skipped, 3)]])
    cuda.synchronize()
    np.testing.assert_array_equal(device_rows(batch)[:18], wanted)


@pytest.mark.parametrize("fails_together", [False, True])
def test_requests_behind_a_refused_one_keep_their_pictures_whatever_fails(fails_together: bool) -> None:
    """Moved together and then run again one by one, each was given the picture of the one behind it."""
    cuda, model = HostCuda(), build_model()
    batch = DeviceBatch(cuda, model)
    content = device_rows(batch)
    content[:] = np.arange(48)
    start = batch.input_addresses[0]
    parts = [[AtAddress(start + 6 * row, 1)] for row in (1, 2, 3)]  # the bridge put the refused one's at row 0
    wanted = [content[6 * row : 6 * row + 6].sum() for row in (1, 2, 3)]

    def run(chosen: Sequence[Part]) -> list[Arrays]:
        sizes = batch.load(chosen)
        cuda.synchronize()
        if fails_together and len(chosen) > 1:
            raise RuntimeError("out of memory")
        return [[device_rows(batch)[6 * row : 6 * row + 6].sum(keepdims=True)] for row in range(len(sizes))]

    found = run_each(parts, model, run, has_gaps=True)
    assert [int(outputs[0][0]) for outputs in found if not isinstance(outputs, Exception)] == wanted


def test_more_rows_than_there_is_room_for_are_not_copied() -> None:
    cuda = HostCuda()
    batch = DeviceBatch(cuda, build_model())
    with pytest.raises(ValueError, match="a batch of 9 is larger than the buffers, which hold 8"):
        batch.load([[HostInput(pictures(0, 5))], [HostInput(pictures(0, 4))]])
    assert not cuda.waiting


def test_page_locks_go_before_their_memory() -> None:
    class Driver(HostCuda):
        def __init__(self) -> None:
            super().__init__()
            self.locked: list[int] = []

        def register(self, address: int, size: int) -> None:
            self.locked.append(address)

        def unregister(self, address: int) -> None:
            self.locked.remove(address)

    cuda = Driver()
    pages = SharedPages(cuda)
    with NamedTemporaryFile(dir="/dev/shm", prefix="photofinish-region-") as file:
        file.truncate(8192)
        with mmap.mmap(file.fileno(), 8192) as memory:
            view = ctypes.c_ubyte.from_buffer(memory)
            address = ctypes.addressof(view)
            assert pages.hold(address, 100)
            assert pages.hold(address + 4096, 4096)
            assert cuda.locked == [address]
            pages.forget(address, 8192)
            assert cuda.locked == []
            del view
    assert not pages.hold(address, 100)


def test_stages_are_sampled_and_told() -> None:
    waits: list[int] = []
    times = StageTimes("toy", lambda: waits.append(1))
    for _ in range(2 * SAMPLED):
        times.begin()
        for stage in ("input", "engine", "output"):
            times.mark(stage)
        times.end()
    assert len(waits) == 6, "every execution was made to wait for its stages"
    assert set(times.latest_ns) == {"input", "engine", "output"}


def test_fixed_buffers_without_a_batch_dimension() -> None:
    cuda = HostCuda()
    batch = DeviceBatch(cuda, build_model(max_batch_size=0))
    frames = pictures(0, 2)[0]
    assert batch.load([[HostInput(frames)]]) == [1]
    (outputs,) = batch.fetch([1])
    assert outputs[0].shape == (4,)


def test_outputs_are_compared_with_the_config() -> None:
    check_outputs(build_model(), sums)
    with pytest.raises(RefusedModelError, match=r"float32 with shape \(1, 4\) for a batch of 1, config.pbtxt states"):
        check_outputs(build_model(outputs=(Io("rows", np.dtype(np.float32), (5,)),)), sums)
    with pytest.raises(RefusedModelError, match=r"returns 1 outputs, config.pbtxt names 2"):
        check_outputs(build_model(outputs=(Io("rows", np.dtype(np.float32), (4,)),) * 2), sums)
    with pytest.raises(RefusedModelError, match="fails on a batch of 2 zeros"):
        check_outputs(build_model(), lambda arrays: sums([arrays[0].reshape(1, 2, 3)]))


@pytest.mark.parametrize(
    ("models", "free", "expected"),
    [(1, 1 << 40, MAX_REGION_BYTES), (4, 64 << 20, 4 << 20), (9, 1 << 20, MIN_REGION_BYTES)],
)
def test_shared_memory_is_shared_out(models: int, free: int, expected: int) -> None:
    assert region_bytes(models, free) == expected


class FailingDriver:
    """CUDA's driver with one call that fails."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def __getitem__(self, name: str) -> Callable[..., int]:
        return lambda *arguments: 2 if name == self.failing else 0

    def cuGetErrorString(self, code: int, text: object) -> int:  # noqa: N802
        return 0


@pytest.mark.parametrize("failing", ["cuInit", "cuDeviceGet", "cuStreamCreate"])
def test_a_gpu_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: FailingDriver(failing))
    with pytest.raises(RefusedModelError, match=rf"GPU 0 cannot be used: {failing} failed: .*photofinish doctor"):
        driver.Cuda(0)
