"""The registry of engines: each is there, and none brings another's libraries into its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.server.backend.engine import ENGINES, open_model
from photofinish.server.backend.model import (
    CORES,
    ConfiguredModel,
    RefusedModelError,
    keep_to_own_cores,
    thread_count,
)

LIBRARIES = {"onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch"}
OWN = {"onnxruntime": {"onnxruntime"}, "openvino": {"openvino"}, "pytorch": {"torch"}, "tensorrt": set[str]()}
"""TensorRT's library is chosen by the plan's sidecar, after the import."""
PACKAGE = "photofinish.server.backend"


def modules_after(program: str) -> set[str]:
    code = f"import importlib, sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_engine_has_its_libraries() -> None:
    assert set(ENGINES) == set(OWN)


def test_the_registry_itself_loads_no_engine() -> None:
    loaded = modules_after(f"import {PACKAGE}.engine")
    assert LIBRARIES & loaded == set()
    assert not any(name.startswith(f"{PACKAGE}.engines.") for name in loaded)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_a_process_loads_the_libraries_of_its_own_engine_only(name: str) -> None:
    loaded = modules_after(
        f"module = importlib.import_module('{ENGINES[name].module}', '{PACKAGE}')\nassert callable(module.open_engine)"
    )
    assert LIBRARIES & loaded == OWN[name]


def test_a_backend_that_is_not_there_is_refused() -> None:
    with pytest.raises(RefusedModelError, match="names the backend 'python', this server has onnxruntime, openvino"):
        open_model({"model_config": json.dumps({"backend": "python"})})


def configured(instances: int = 1) -> ConfiguredModel:
    return ConfiguredModel(
        name="toy", folder=Path(), file_name="", inputs=(), outputs=(), max_batch_size=0, device="cpu", device_id=0,
        instance_count=instances,
    )  # fmt: skip


def test_threads_fit_the_cores_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5, 6})
    assert [thread_count(configured(instances)) for instances in (1, 2, 4)] == [3, 1, 1]


def test_cores_that_are_not_there_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORES, '{"other": [1023]}')
    keep_to_own_cores(configured())
    monkeypatch.setenv(CORES, '{"toy": [1023]}')
    with pytest.raises(RefusedModelError, match=r"toy cannot compute on the cores \[1023\] alone: .*--turns on"):
        keep_to_own_cores(configured())
