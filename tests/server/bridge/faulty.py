"""A server whose engine does what a request's first number says: twice the input, or the faults of a model process."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton

from photofinish.access.token import access_to
from photofinish.machine.processes import ProcessTree
from photofinish.server.triton import run_folder
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.asking import asking
from tests.server.models import config_text, save_doubling_onnx, write_model

CRASH, EXIT, HANG, STOP, SLOW, SLOW_EXIT, GAP = range(1, 8)
"""SLOW is answered and SLOW_EXIT ends after SLOW_S; GAP is answered after GAP_S, by how long the engine had rested."""
SLOW_S, GAP_S = 0.4, 0.01
SLOW_BEGUN = "the engine begins a slow one"
LIMIT_S = 1.0
DEADLINE_S = 60.0
ENGINE = f"""
import os, signal, sys, time
import numpy as np
from ..engine import CpuEngine

def open_engine(model):
    return Faulty()

class Faulty(CpuEngine):
    ended = time.perf_counter()

    def run_arrays(self, arrays):
        match arrays[0].flat[0] if arrays[0].size else 0:
            case 1: os.kill(os.getpid(), signal.SIGSEGV)
            case 2: os._exit(7)
            case 3: time.sleep(1000)
            case 4: os.kill(os.getpid(), signal.SIGSTOP)
            case 5 | 6:
                sys.stderr.write("{SLOW_BEGUN}\\n")
                sys.stderr.flush()
                time.sleep({SLOW_S})
                if arrays[0].flat[0] == 6: os._exit(7)
            case 7:
                rested = time.perf_counter() - self.ended
                time.sleep({GAP_S})
                self.ended = time.perf_counter()
                return [np.full(arrays[0].shape, rested, np.float32)]
        return [arrays[0].astype(np.float32) * 2]
"""


def faulty_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`faulty` and `pair`, which has two instances, by the engine above; `toy` by ONNX Runtime."""
    package = folder / "backend"
    shutil.copytree(run_folder.BACKEND, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "engines" / "pytorch.py").write_text(ENGINE)
    monkeypatch.setattr(run_folder, "BACKEND", package)
    monkeypatch.setenv("PHOTOFINISH_EXECUTION_LIMIT_S", str(LIMIT_S))
    repository = folder / "models"
    save_doubling_onnx(write_model(repository, "toy", config_text("toy", "onnxruntime")))
    for name, instances in (("faulty", 1), ("pair", 2)):
        config = config_text(
            name,
            "pytorch",
            inputs='{name: "numbers" data_type: TYPE_UINT8 dims: [-1]}',
            outputs='{name: "doubled" data_type: TYPE_FP32 dims: [-1]}',
        )
        config = config.replace("count: 1", f"count: {instances}").replace("dynamic_batching", "# ")
        write_model(repository, name, config, "model.pt").touch()
    return repository


def ask(url: str, model: str, first: int, width: int = 8) -> npt.NDArray[Any]:
    """The answer to so many numbers, of which the first says what the engine does."""
    numbers = np.full((1, width), 9, np.uint8)
    numbers[0, 0] = first
    request = triton.InferInput("numbers", numbers.shape, "UINT8")
    request.set_data_from_numpy(numbers)
    with asking(url) as client:
        return client.infer(model, [request], client_timeout=DEADLINE_S).as_numpy("doubled")


def is_right(url: str, model: str, width: int = 8) -> bool:
    found = ask(url, model, 0, width)
    return found.shape == (1, width) and found[0, 0] == 0 and bool((found[0, 1:] == 18).all())


def status(server: EmbeddedServer, path: str, body: bytes | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.endpoint.http_url, timeout=DEADLINE_S)
    try:
        shown = access_to(server.endpoint.grpc_url).http_headers
        connection.request("GET" if body is None else "POST", path, body=body, headers=shown)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def is_ready(server: EmbeddedServer, model: str = "") -> bool:
    return status(server, f"/v2/models/{model}/ready" if model else "/v2/health/ready")[0] == 200


def http_body(first: int, width: int = 8) -> bytes:
    numbers = [first, *[9] * (width - 1)]
    return json.dumps(
        {"inputs": [{"name": "numbers", "datatype": "UINT8", "shape": [1, width], "data": numbers}]}
    ).encode()


def processes_of(server: EmbeddedServer, model: str) -> list[int]:
    return sorted(ProcessTree(server.endpoint.pid).pids_of_model(model))


def seconds_until(condition: Callable[[], bool], what: str) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + DEADLINE_S, f"waited {DEADLINE_S} s until {what}"
        time.sleep(0.005)
    return time.monotonic() - begun
