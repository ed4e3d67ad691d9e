"""The embedded `tensorrt` backend, as far as it goes without a GPU: sidecar, library, buckets, refusals."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

BACKENDS = Path(__file__).resolve().parents[2] / "server" / "backends"
RECORD = {
    "schema_version": 1,
    "engine_sha256": hashlib.sha256(b"engine").hexdigest(),
    "library": "tensorrt_rtx",
    "library_version": "1.7.1.116",
    "target": "sm120",
    "rebuild": "photofinish export --weights yolo26n.pt --variant trt_fp16",
}


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The backend's modules, imported as Triton's stub does: by bare name from one folder."""
    for folder in ("shared", "tensorrt"):
        monkeypatch.syspath_prepend(str(BACKENDS / folder))
    names = ("model", "batches", "sidecar", "buckets", "engine")
    return {name: importlib.import_module(f"photofinish_{name}") for name in names}


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.plan"
    path.write_bytes(b"engine")
    write_sidecar(path)
    return path


def write_sidecar(path: Path, **changes: object) -> None:
    path.with_name(path.name + ".json").write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")


def served(backend: dict[str, ModuleType], **changes: object) -> Any:
    model = backend["model"]
    values: dict[str, object] = {
        "name": "toy_trt_fp16",
        "artifact": Path("/nowhere/model.plan"),
        "inputs": (model.Io("frames", np.dtype(np.uint8), (2, 2, 3)),),
        "outputs": (model.Io("detections", np.dtype(np.float32), (3,)),),
        "max_batch_size": 8,
        "device": "cuda",
        "device_id": 0,
        "instance_count": 1,
        "card": {"batch_buckets": [1, 2, 4, 8]},
    }
    return model.ServedModel(**{**values, **changes})


def test_sidecar_that_fits_is_accepted(backend: dict[str, ModuleType], engine: Path) -> None:
    record = backend["sidecar"].read_sidecar(engine)
    backend["sidecar"].check_sidecar(engine, record, (12, 0))


def test_engine_of_another_gpu_is_refused_with_the_command(backend: dict[str, ModuleType], engine: Path) -> None:
    record = backend["sidecar"].read_sidecar(engine)
    with pytest.raises(backend["model"].RefusedModelError, match="built for sm120 and this GPU is sm89") as caught:
        backend["sidecar"].check_sidecar(engine, record, (8, 9))
    assert "Rebuild it: photofinish export --weights yolo26n.pt" in str(caught.value)


def test_changed_engine_is_refused(backend: dict[str, ModuleType], engine: Path) -> None:
    engine.write_bytes(b"other")
    record = backend["sidecar"].read_sidecar(engine)
    with pytest.raises(backend["model"].RefusedModelError, match="not the file its sidecar describes"):
        backend["sidecar"].check_sidecar(engine, record, (12, 0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 9}, "schema_version 9"),
        ({"library": "tensorrt_of_tomorrow"}, "incomplete"),
        ({"schema_version": None}, "schema_version None"),
    ],
)
def test_foreign_sidecar_is_refused(
    backend: dict[str, ModuleType], engine: Path, changes: dict[str, object], message: str
) -> None:
    write_sidecar(engine, **changes)
    with pytest.raises(backend["model"].RefusedModelError, match=message):
        backend["sidecar"].read_sidecar(engine)


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_unreadable_sidecar_is_refused(backend: dict[str, ModuleType], engine: Path, text: str) -> None:
    engine.with_name("model.plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(backend["model"].RefusedModelError, match="cannot be read"):
        backend["sidecar"].read_sidecar(engine)


def test_missing_sidecar_is_refused(backend: dict[str, ModuleType], engine: Path) -> None:
    engine.with_name("model.plan.json").unlink()
    with pytest.raises(backend["model"].RefusedModelError, match=r"has no sidecar model\.plan\.json"):
        backend["sidecar"].read_sidecar(engine)


def test_missing_library_says_how_to_install_it(backend: dict[str, ModuleType]) -> None:
    record = {**RECORD, "library": "tensorrt", "library_version": "10.16.1.11"}
    with pytest.raises(backend["model"].RefusedModelError, match=r"pip install tensorrt-cu13==10\.16\.1\.11"):
        backend["sidecar"].import_library(record)


@pytest.mark.usefixtures("rtx")
def test_library_of_another_version_is_refused(backend: dict[str, ModuleType]) -> None:
    record = {**RECORD, "library_version": "1.0.0.1"}
    with pytest.raises(backend["model"].RefusedModelError, match=r"built by tensorrt_rtx 1\.0\.0\.1 and this is"):
        backend["sidecar"].import_library(record)


def test_file_is_chosen_by_compute_capability(backend: dict[str, ModuleType]) -> None:
    choose = backend["sidecar"].file_for_capability
    config = {"cc_model_filenames": {"12.0": "model.plan", "8.9": "model_sm89.plan"}}
    assert choose(config, "model.plan", (8, 9)) == "model_sm89.plan"
    assert choose(config, "model.plan", (8, 6)) == "model.plan"
    assert choose({}, "model.plan", (8, 9)) == "model.plan"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_model_is_refused(backend: dict[str, ModuleType]) -> None:
    with pytest.raises(backend["model"].RefusedModelError, match="needs an NVIDIA GPU"):
        backend["engine"].engine_for_gpu(served(backend), {})


class CpuLaunch:
    """Stands for the engine: adds up each picture's values. Its buffers are ordinary memory."""

    def __init__(self, buffers: Any) -> None:
        self.buffers = buffers
        self.buckets: list[int] = []

    def __call__(self, bucket: int) -> None:
        self.buckets.append(bucket)
        sums = self.buffers.inputs[0][:bucket].to(torch.float32).sum(dim=(1, 2, 3))
        self.buffers.outputs[0][:bucket] = sums[:, None] + torch.arange(3)


def frames(count: int, first: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.stack([np.full((2, 2, 3), first + index, np.uint8) for index in range(count)])


@pytest.mark.parametrize(("sizes", "bucket"), [((1,), 1), ((2,), 2), ((1, 2), 4), ((3, 1, 4), 8), ((5,), 8)])
def test_requests_share_one_launch_and_get_their_own_rows(
    backend: dict[str, ModuleType], sizes: tuple[int, ...], bucket: int
) -> None:
    model = served(backend)
    buffers = backend["buckets"].Buffers.on_device(model, torch.device("cpu"))
    launch = CpuLaunch(buffers)
    runner = backend["buckets"].BucketRunner(model, backend["buckets"].Launcher(buffers, launch))
    # An earlier, larger batch leaves rows behind; they must not leak into later answers.
    runner.run_parts([[frames(8, 100)]])
    parts = [[frames(size, 10 * (index + 1))] for index, size in enumerate(sizes)]
    results = runner.run_parts(parts)
    assert launch.buckets == [8, bucket]
    assert [len(outputs[0]) for outputs in results] == list(sizes)
    for (batch,), (rows,) in zip(parts, results, strict=True):
        expected = batch.astype(np.float32).sum(axis=(1, 2, 3))[:, None] + np.arange(3)
        np.testing.assert_array_equal(rows, expected)


def test_answers_survive_the_next_batch(backend: dict[str, ModuleType]) -> None:
    model = served(backend)
    buffers = backend["buckets"].Buffers.on_device(model, torch.device("cpu"))
    runner = backend["buckets"].BucketRunner(model, backend["buckets"].Launcher(buffers, CpuLaunch(buffers)))
    ((first,),) = runner.run_parts([[frames(1, 1)]])
    runner.run_parts([[frames(1, 9)]])
    np.testing.assert_array_equal(first, [[12, 13, 14]])


def test_batch_beyond_the_largest_bucket_is_refused(backend: dict[str, ModuleType]) -> None:
    model = served(backend)
    buffers = backend["buckets"].Buffers.on_device(model, torch.device("cpu"))
    runner = backend["buckets"].BucketRunner(model, backend["buckets"].Launcher(buffers, CpuLaunch(buffers)))
    with pytest.raises(ValueError, match="larger than the largest prepared size 8"):
        runner.run_parts([[frames(9, 0)]])
