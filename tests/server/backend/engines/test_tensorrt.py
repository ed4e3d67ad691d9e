"""The embedded `tensorrt` backend without a GPU: sidecar, library, refusals, and its batches on a stand-in for CUDA."""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from photofinish.server.backend.batches import ArrayInput
from photofinish.server.backend.engines import tensorrt, tensorrt_sidecar
from photofinish.server.backend.model import ConfiguredModel, Io, RefusedModelError

RECORD = {
    "schema_version": 1,
    "engine_sha256": hashlib.sha256(b"engine").hexdigest(),
    "library": "tensorrt_rtx",
    "library_version": "1.7.1.116",
    "target": "sm120",
    "rebuild": "photofinish export --weights yolo26n.pt --variant trt_fp16",
}


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.plan"
    path.write_bytes(b"engine")
    write_sidecar(path)
    return path


def write_sidecar(path: Path, **changes: object) -> None:
    path.with_name(path.name + ".json").write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")


def served(**changes: object) -> Any:
    values: dict[str, object] = {
        "name": "toy_trt_fp16",
        "folder": Path("/nowhere"),
        "file_name": "model.plan",
        "inputs": (Io("frames", np.dtype(np.uint8), (2, 2, 3)),),
        "outputs": (Io("detections", np.dtype(np.float32), (3,)),),
        "max_batch_size": 8,
        "device": "cuda",
        "device_id": 0,
        "instance_count": 1,
        "card": {"batch_buckets": [1, 2, 4, 8]},
    }
    return ConfiguredModel(**{**values, **changes})


def test_sidecar_that_fits_is_accepted(engine: Path) -> None:
    record = tensorrt_sidecar.read_sidecar(engine)
    tensorrt_sidecar.check_sidecar(engine, record, (12, 0))


def test_engine_of_another_gpu_is_refused_with_the_command(engine: Path) -> None:
    """The command that built it would build for the other GPU again."""
    write_sidecar(engine, rebuild=RECORD["rebuild"] + " --target sm120 --target sm86 --calibration scenes")
    record = tensorrt_sidecar.read_sidecar(engine)
    with pytest.raises(RefusedModelError, match="built for sm120 and this GPU is sm89") as caught:
        tensorrt_sidecar.check_sidecar(engine, record, (8, 9))
    assert str(caught.value).endswith(
        "Rebuild it on this machine: photofinish export --weights yolo26n.pt --variant trt_fp16 --calibration scenes"
    )


def test_changed_engine_is_refused(engine: Path) -> None:
    engine.write_bytes(b"other")
    record = tensorrt_sidecar.read_sidecar(engine)
    with pytest.raises(RefusedModelError, match="not the file its sidecar describes"):
        tensorrt_sidecar.check_sidecar(engine, record, (12, 0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 9}, "schema_version 9"),
        ({"library": "tensorrt_of_tomorrow"}, "incomplete"),
        ({"schema_version": None}, "schema_version None"),
    ],
)
def test_foreign_sidecar_is_refused(engine: Path, changes: dict[str, object], message: str) -> None:
    write_sidecar(engine, **changes)
    with pytest.raises(RefusedModelError, match=message):
        tensorrt_sidecar.read_sidecar(engine)


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_unreadable_sidecar_is_refused(engine: Path, text: str) -> None:
    engine.with_name("model.plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(RefusedModelError, match="cannot be read"):
        tensorrt_sidecar.read_sidecar(engine)


def test_missing_sidecar_is_refused(engine: Path) -> None:
    engine.with_name("model.plan.json").unlink()
    with pytest.raises(RefusedModelError, match=r"has no sidecar model\.plan\.json"):
        tensorrt_sidecar.read_sidecar(engine)


def test_missing_library_says_how_to_install_it() -> None:
    record = {**RECORD, "library": "tensorrt", "library_version": "10.16.1.11"}
    with pytest.raises(RefusedModelError, match=r"pip install tensorrt-cu13==10\.16\.1\.11"):
        tensorrt_sidecar.import_library(record)


@pytest.mark.usefixtures("rtx")
def test_library_of_another_version_is_refused() -> None:
    record = {**RECORD, "library_version": "1.0.0.1"}
    with pytest.raises(RefusedModelError, match=r"built by tensorrt_rtx 1\.0\.0\.1 and this is"):
        tensorrt_sidecar.import_library(record)


def test_file_is_chosen_by_compute_capability() -> None:
    choose = tensorrt_sidecar.file_for_capability
    config = {"12.0": "model.plan", "8.9": "model_sm89.plan"}
    assert choose(config, "model.plan", (8, 9)) == "model_sm89.plan"
    assert choose(config, "model.plan", (8, 6)) == "model.plan"
    assert choose({}, "model.plan", (8, 9)) == "model.plan"


class HostCuda:
    """Stands for the GPU: its memory is this process's, its stream is the order of the calls."""

    stream = 7

    def __init__(self) -> None:
        self.kept: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        self.recorded: list[Callable[[], None]] = []
        self.replays = 0
        self.has_small_stacks = False

    def shrink_stacks(self) -> None:
        self.has_small_stacks = True

    def pinned_array(self, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        self.kept.append(np.zeros(size, np.uint8))
        return self.kept[-1]

    def allocate(self, size: int) -> int:
        return int(self.pinned_array(size).__array_interface__["data"][0])

    def copy(self, target: int, source: int, size: int, stream: int = 0) -> None:
        ctypes.memmove(target, source, size)

    copy_to_device = copy_from_device = copy_on_device = copy

    def make_current(self) -> None:
        """There is one context."""

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def used_bytes(self) -> int:
        return sum(array.nbytes for array in self.kept)

    def record(self, launch: Callable[[], None]) -> int:
        self.recorded.append(launch)
        return len(self.recorded) - 1

    def replay(self, executable: int) -> None:
        self.replays += 1
        self.recorded[executable]()


class SummingLibrary:
    """Stands for TensorRT: an engine that adds up each picture's values, with the interface that our code uses."""

    ILogger = SimpleNamespace(ERROR=1)
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    def __init__(self, *, loads: bool = True, largest: int = 8, output_dtype: str = "FLOAT") -> None:
        self.loads, self.largest, self.output_dtype = loads, largest, output_dtype
        self.batches: list[int] = []
        self.addresses: dict[str, int] = {}

    def Logger(self, severity: int) -> object:  # noqa: N802
        return object()

    def Runtime(self, logger: object) -> SummingLibrary:  # noqa: N802
        return self

    def deserialize_cuda_engine(self, engine: bytes) -> SummingLibrary | None:
        return self if self.loads else None

    num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("frames", "detections")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "frames" else "out"

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="UINT8" if name == "frames" else self.output_dtype)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, 2, 2, 3) if name == "frames" else (-1, 3)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(size, 2, 2, 3) for size in (1, 2, self.largest)]

    def create_execution_context(self) -> SummingLibrary:
        return self

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.batch = shape[0]

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostCuda.stream
        self.batches.append(self.batch)
        pictures = np.ctypeslib.as_array((ctypes.c_uint8 * (12 * self.batch)).from_address(self.addresses["frames"]))
        rows = np.ctypeslib.as_array((ctypes.c_float * (3 * self.batch)).from_address(self.addresses["detections"]))
        rows[:] = (pictures.reshape(self.batch, 12).sum(axis=1)[:, None] + np.arange(3)).reshape(-1)
        return True


def opened(engine: Path, library: SummingLibrary, cuda: HostCuda, **changes: object) -> Any:
    return tensorrt.TensorrtEngine(served(**changes), cuda, library, engine, RECORD)


def frames(count: int, first: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([np.full((2, 2, 3), first + index, np.uint8) for index in range(count)])


def sums(batch: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return batch.astype(np.float32).sum(axis=(1, 2, 3))[:, None] + np.arange(3, dtype=np.float32)


@pytest.mark.parametrize(("sizes", "bucket"), [((1,), 1), ((2,), 2), ((1, 2), 4), ((3, 1, 4), 8), ((5,), 8)])
def test_requests_share_one_launch_and_get_their_own_rows(engine: Path, sizes: tuple[int, ...], bucket: int) -> None:
    library, cuda = SummingLibrary(), HostCuda()
    instance = opened(engine, library, cuda, card={"batch_buckets": [1, 2, 4, 8], "cuda_graphs": True})
    assert len(cuda.recorded) == 4
    assert cuda.has_small_stacks
    # An earlier, larger batch leaves rows behind; they must not leak into later answers.
    instance.run_arrays([frames(8, 100)])
    batches = [frames(size, 10 * (index + 1)) for index, size in enumerate(sizes)]
    cuda.replays, library.batches = 0, []
    results = instance.run([[ArrayInput(batch)] for batch in batches])
    assert (cuda.replays, library.batches) == (1, [bucket])
    for batch, (rows,) in zip(batches, results, strict=True):
        np.testing.assert_array_equal(rows, sums(batch))


def test_without_cuda_graphs_batches_are_launched_plainly(engine: Path) -> None:
    library, cuda = SummingLibrary(), HostCuda()
    instance = opened(engine, library, cuda)
    np.testing.assert_array_equal(instance.run_arrays([frames(3, 1)])[0], sums(frames(3, 1)))
    assert (cuda.recorded, cuda.replays, library.batches[-1]) == ([], 0, 4)
    assert not cuda.has_small_stacks, "it is served as the tutorials' backends serve it"


def test_every_bucket_is_warmed_up_before_the_first_request(engine: Path) -> None:
    library = SummingLibrary()
    opened(engine, library, HostCuda())
    assert library.batches == [8, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1]


def test_stages_of_an_execution_are_told(engine: Path) -> None:
    instance = opened(engine, SummingLibrary(), HostCuda())
    assert set(instance.times.latest_ns) == {"input", "engine", "output"}


@pytest.mark.parametrize(
    ("library", "changes", "message"),
    [
        (SummingLibrary(loads=False), {}, r"cannot load model\.plan on this GPU.*Rebuild it: photofinish export"),
        (SummingLibrary(largest=4), {}, "takes batches of 1 to 4, config.pbtxt states max_batch_size 8"),
        (SummingLibrary(output_dtype="HALF"), {}, "output 'detections' is float16 in the model"),
        (SummingLibrary(), {"inputs": ()}, r"names the inputs \[\], the model has \['frames'\]"),
    ],
    ids=["unloadable", "batch", "dtype", "names"],
)
def test_engine_that_differs_from_its_config_is_refused(
    engine: Path, library: SummingLibrary, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RefusedModelError, match=message):
        opened(engine, library, HostCuda(), **changes)


def test_config_with_other_dims_is_refused(engine: Path) -> None:
    outputs = (Io("detections", np.dtype(np.float32), (4,)),)
    with pytest.raises(RefusedModelError, match=r"the dims \[3\] in the model, config.pbtxt states \[4\]"):
        opened(engine, SummingLibrary(), HostCuda(), outputs=outputs)


def test_failing_graph_says_what_to_do(engine: Path) -> None:
    class NoGraphs(HostCuda):
        def record(self, launch: Callable[[], None]) -> int:
            raise RuntimeError("operation not permitted when stream is capturing")

    card = {"batch_buckets": [1, 8], "cuda_graphs": True}
    with pytest.raises(RefusedModelError, match=r"batch 8: operation not permitted.*cuda_graphs = false"):
        opened(engine, SummingLibrary(), NoGraphs(), card=card)


def test_batch_beyond_the_largest_bucket_is_refused(engine: Path) -> None:
    instance = opened(engine, SummingLibrary(), HostCuda())
    with pytest.raises((ValueError, IndexError)):
        instance.run([[ArrayInput(frames(9, 0))]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"device": "cpu"}, "needs an NVIDIA GPU"), ({"max_batch_size": 0}, "has max_batch_size 0")],
)
def test_model_that_no_engine_can_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RefusedModelError, match=message):
        tensorrt.open_engine(served(**changes))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_driver_the_model_is_refused() -> None:
    with pytest.raises(RefusedModelError, match="photofinish doctor"):
        tensorrt.open_engine(served())
