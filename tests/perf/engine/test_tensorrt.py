"""`photofinish perf engine` on an engine: the server's own class, without the server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from photofinish.errors import ConfigError
from photofinish.export.publishing.config import io_from_variant
from photofinish.model_card import ModelCard
from photofinish.perf.engine import tensorrt as engine_tensorrt
from photofinish.perf.engine.loops import Artifact, loop_from_artifact
from photofinish.perf.engine.measuring import measure_engines, require_measured
from photofinish.perf.engine.packages_child import import_backend
from photofinish.perf.engine.tensorrt import config_from_card, tensorrt_loop
from photofinish.perf.report.words import ENGLISH
from photofinish.server.triton.run_folder import BACKEND
from tests.builders import build_card
from tests.export.tensorrt.variants import engine_variant
from tests.server.backend.engines.test_tensorrt import RECORD, HostCuda, SummingLibrary, sums

OUTPUT = {"name": "detections", "data_type": "TYPE_FP32", "dims": [3]}
"""What the stand-in for TensorRT gives."""


@pytest.fixture
def card() -> ModelCard:
    return build_card(
        variant="toy_trt_fp16",
        backend="tensorrt",
        device="cuda",
        input_wh=(2, 2),
        batch_buckets=(1, 2, 4, 8),
        cuda_graphs=True,
        engines={"sm120": {"file": "model.plan", "library": "tensorrt_rtx", "library_version": "1.7.1.116"}},
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "toy_trt_fp16" / "1"
    folder.mkdir(parents=True)
    (folder / "model.plan").write_bytes(b"engine")
    (folder / "model.plan.json").write_text(json.dumps(RECORD), encoding="utf-8")
    return folder


class Gpu(HostCuda):
    """The stand-in for CUDA, which also says what it is."""

    def __init__(self, device_id: int) -> None:
        super().__init__()
        self.waited = 0

    def capability(self) -> tuple[int, int]:
        return (12, 0)

    def synchronize(self) -> None:
        self.waited += 1


def test_loop_replays_the_graph_of_its_batch_and_waits(
    card: ModelCard, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One prepared size, the pictures already on the GPU, one launch and one wait per execution."""
    gpus: list[Gpu] = []
    library = SummingLibrary()
    (engines,) = import_backend(BACKEND, "engines.tensorrt")
    monkeypatch.setattr(engines, "GraphCuda", lambda device_id, is_shared: gpus.append(Gpu(device_id)) or gpus[-1])
    monkeypatch.setattr(engines, "import_library", lambda record: library)
    monkeypatch.setattr(
        engine_tensorrt, "config_from_card", lambda card, size: {**config_from_card(card, size), "output": [OUTPUT]}
    )
    pixels = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    loop = tensorrt_loop(card, directory, pixels, BACKEND)
    (gpu,) = gpus
    assert len(gpu.recorded) == 1
    gpu.replays = gpu.waited = 0
    library.batches = []
    loop()
    loop()
    assert (gpu.replays, gpu.waited, library.batches) == (2, 2, [4, 4])
    rows = np.frombuffer(gpu.kept[1], np.float32).reshape(4, 3)
    np.testing.assert_array_equal(rows, sums(pixels))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_reason_stands_in_the_report(card: ModelCard, directory: Path) -> None:
    lines: list[str] = []
    artifact = Artifact(card=card, directory=directory, backend_package=BACKEND)
    section = measure_engines([artifact], batch_sizes=(1, 8), seconds=0.05, on_progress=lines.append)
    assert section.arms == ()
    assert [ENGLISH.subject(item) for item in section.not_run] == ["toy_trt_fp16, batch 1", "toy_trt_fp16, batch 8"]
    for item in section.not_run:
        assert ENGLISH.why(item).startswith(
            "a TensorRT engine runs on the GPU that it was built for: no CUDA driver found"
        )
        assert "photofinish doctor" in ENGLISH.why(item)


def test_without_the_backends_the_command_is_named(card: ModelCard, directory: Path) -> None:
    with pytest.raises(ConfigError, match="photofinish perf engine"):
        loop_from_artifact(Artifact(card=card, directory=directory), 1, 0)


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_config_is_what_the_export_writes(card: ModelCard, task: str) -> None:
    values = {name: getattr(card, name) for name in card.__dataclass_fields__} | {"task": task}
    config = config_from_card(ModelCard(**values), (8,))
    io = io_from_variant(engine_variant(), input_wh=card.input_wh, raw_dims=(len(card.class_names),), task=task)
    for spec, (stated,) in ((io.input, config["input"]), (io.output, config["output"])):
        assert stated == {"name": spec.name, "data_type": spec.data_type, "dims": list(spec.dims)}
    assert config["max_batch_size"] == 8
    assert config["cc_model_filenames"] == {"12.0": "model.plan"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_run_without_any_figure_fails(card: ModelCard, directory: Path) -> None:
    artifact = Artifact(card=card, directory=directory, backend_package=BACKEND)
    section = measure_engines([artifact], batch_sizes=(1, 8), seconds=0.05, on_progress=lambda line: None)
    with pytest.raises(ConfigError, match=r"^nothing could be measured here: a TensorRT engine runs on the GPU") as e:
        require_measured(section)
    assert str(e.value).count("no CUDA driver") == 1
