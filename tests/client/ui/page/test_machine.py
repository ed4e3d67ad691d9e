from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from photofinish.client.ui.page import machine

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
        readings = machine.memory_by_model("far.example:8001", url, ["a", "b"])
    assert readings["a"] == machine.MemoryReading(covers="whole", used_bytes=1001 << 20)
    assert readings["b"] == readings["a"]


def test_memory_of_each_model_from_the_embedded_servers_metrics() -> None:
    with metrics_server(METRICS + OWN_METRICS) as url:
        readings = machine.memory_by_model("127.0.0.1:8001", url, ["toy", "toy_b", "other"])
    assert [reading.used_bytes for reading in readings.values()] == [300 << 20, 50 << 20, None]
    assert readings["toy"].covers == "alone"


def test_what_cannot_be_known_is_said() -> None:
    reading = machine.memory_by_model("far.example:8001", None, ["a"])["a"]
    assert reading == machine.MemoryReading(covers="not_given")
    reading = machine.memory_by_model("far.example:8001", "127.0.0.1:1", ["a"])["a"]
    assert reading == machine.MemoryReading(covers="no_metrics", where="127.0.0.1:1")


def test_each_model_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "nvml_memory", lambda: ({11: 500 << 20, 12: 100 << 20, 13: 7}, 9 << 30))
    monkeypatch.setattr(machine, "model_processes", lambda names: {"a": [11], "b": [12]})
    readings = machine.memory_by_model("127.0.0.1:8001", None, ["a", "b"])
    assert [readings[name].used_bytes for name in "ab"] == [500 << 20, 100 << 20]
    assert readings["a"].covers == "alone"


def test_processes_of_others_leave_the_whole_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "nvml_memory", lambda: ({}, 1 << 30))
    readings = machine.memory_by_model("127.0.0.1:8001", None, ["a"])
    assert readings["a"] == machine.MemoryReading(covers="whole", used_bytes=1 << 30)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "nvml_memory", lambda: ({}, None))
    assert machine.memory_by_model("127.0.0.1:8001", None, ["a"]) == {"a": machine.NO_GPU}


def test_the_machine_is_named() -> None:
    facts = machine.machine_facts()
    assert facts.processor
    assert facts.cores >= 1


def test_the_own_server_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with metrics_server(METRICS) as url:
        assert machine.memory_by_model("127.0.0.1:8001", url, ["a"])["a"].used_bytes == 1001 << 20


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
    assert machine.nvml_memory() == ({}, 0 if silent == "nvmlDeviceGetMemoryInfo" else 5 << 30)
