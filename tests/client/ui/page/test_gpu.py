from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from photofinish.client.ui.page import gpu

METRICS = b"""# HELP nv_gpu_memory_used_bytes x
nv_gpu_memory_used_bytes{gpu_uuid="a"} 1048576000.000000
nv_gpu_memory_used_bytes{gpu_uuid="b"} 1048576.000000
nv_inference_count{model="x"} 3
"""
OWN_METRICS = b"""photofinish_instance_gpu_memory_bytes{device="cuda:0",instance="1",model="toy"} 209715200.000000
photofinish_instance_gpu_memory_bytes{device="cuda:1",instance="2",model="toy"} 104857600.000000
photofinish_instance_gpu_memory_bytes{device="cuda:0",instance="3",model="toy_b"} 52428800.000000
"""


@contextmanager
def metrics_server(text: bytes) -> Iterator[str]:
    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_memory_of_the_whole_gpu_from_the_servers_metrics() -> None:
    with metrics_server(METRICS) as url:
        readings = gpu.memory_by_model("far.example:8001", url, ["a", "b"])
    assert readings["a"] == gpu.MemoryReading(text="1001 MB", note="the whole GPU, both sides together")
    assert readings["b"] == readings["a"]


def test_memory_of_each_model_from_the_embedded_servers_metrics() -> None:
    with metrics_server(METRICS + OWN_METRICS) as url:
        readings = gpu.memory_by_model("127.0.0.1:8001", url, ["toy", "toy_b", "other"])
    assert [reading.text for reading in readings.values()] == ["300 MB", "50 MB", "no GPU"]
    assert readings["toy"].note == "this model alone"


def test_what_cannot_be_known_is_said() -> None:
    reading = gpu.memory_by_model("far.example:8001", None, ["a"])["a"]
    assert reading.text == "unknown"
    reading = gpu.memory_by_model("far.example:8001", "127.0.0.1:1", ["a"])["a"]
    assert reading == gpu.MemoryReading(text="unknown", note="no metrics at 127.0.0.1:1")


def test_each_model_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "nvml_memory", lambda: ({11: 500 << 20, 12: 100 << 20, 13: 7}, 9 << 30))
    monkeypatch.setattr(gpu, "model_processes", lambda names: {"a": [11], "b": [12]})
    readings = gpu.memory_by_model("127.0.0.1:8001", None, ["a", "b"])
    assert [readings[name].text for name in "ab"] == ["500 MB", "100 MB"]
    assert readings["a"].note == "this model alone"


def test_processes_of_others_leave_the_whole_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "nvml_memory", lambda: ({}, 1 << 30))
    readings = gpu.memory_by_model("127.0.0.1:8001", None, ["a"])
    assert readings["a"] == gpu.MemoryReading(text="1024 MB", note="the whole GPU, both sides together")


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "nvml_memory", lambda: ({}, None))
    assert gpu.memory_by_model("127.0.0.1:8001", None, ["a"]) == {"a": gpu.NO_GPU}


def test_backend_processes_are_found_by_their_models_name(tmp_path: Path) -> None:
    commands = {
        "11": ["/b/python/triton_python_backend_stub", "/repo/toy_fp32/1/model.py", "shm", "toy_fp32_0_0", "x"],
        "12": ["/b/python/triton_python_backend_stub", "/m.py", "shm", "toy_fp32_tensor_0_0"],
        "13": ["python", "toy_fp32_0_0"],
        "14": [""],
        "15": ["python", "-I", "/b/onnxruntime/photofinish_model_process.py", "toy_onnx_0_1"],
    }
    for pid, arguments in commands.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes("\0".join(arguments).encode())
    assert gpu.model_processes(["toy_fp32", "toy_fp32_tensor", "toy_onnx"], tmp_path) == {
        "toy_fp32": [11],
        "toy_fp32_tensor": [12],
        "toy_onnx": [15],
    }


def test_the_machine_in_one_line() -> None:
    assert " · " in gpu.machine_line()
    assert "core" in gpu.machine_line()


def test_the_own_server_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with metrics_server(METRICS) as url:
        assert gpu.memory_by_model("127.0.0.1:8001", url, ["a"])["a"].text == "1001 MB"


class NvmlError(Exception):
    """As pynvml's."""


@pytest.mark.parametrize("silent", ["nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses"])
def test_a_driver_that_does_not_tell_ends_nothing(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    """WSL does not tell the processes; a GPU may be lost while the view runs."""

    def refuse(handle: object) -> object:
        raise NvmlError("Not Supported")

    driver = SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=5 << 30),
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [SimpleNamespace(pid=11, usedGpuMemory=7)],
    )
    setattr(driver, silent, refuse)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert gpu.nvml_memory() == ({}, 0 if silent == "nvmlDeviceGetMemoryInfo" else 5 << 30)
