"""What is seen beside latency: Triton's counters, GPUs through NVML, CPU."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from photofinish.errors import ServerUnavailableError
from photofinish.machine.gpu import bytes_in_use
from photofinish.machine.processes import CpuMeter, ProcessTree, machine_cpu_s, own_cpu_s
from photofinish.machine.triton_metrics import metrics_from_text
from photofinish.perf.record.environment import environment_fingerprint, frames_fingerprint
from photofinish.perf.watch.gpu import GpuWatch
from photofinish.perf.watch.server_metrics import counters_from_metrics, means_between, read_counters
from photofinish.perf.watch.watcher import Watcher
from tests.builders import build_frame
from tests.client.fake_triton import wait_for

METRICS = """# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{{model="toy",version="1"}} {requests}
nv_inference_request_success{{model="other",version="1"}} 7
# HELP nv_inference_request_failure Number of failed inference requests
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{{model="toy",reason="OTHER",version="1"}} 1
nv_inference_request_failure{{model="toy",reason="BACKEND",version="1"}} 2
# TYPE nv_inference_count counter
nv_inference_count{{model="toy",version="1"}} {inferences}
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{{model="toy",version="1"}} {requests}
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{{model="toy",version="1"}} {duration}
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{{model="toy",version="1"}} {queue}
# TYPE nv_inference_compute_input_duration_us counter
nv_inference_compute_input_duration_us{{model="toy",version="1"}} 0
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{{model="toy",version="1"}} {queue}
# TYPE nv_inference_compute_output_duration_us counter
nv_inference_compute_output_duration_us{{model="toy",version="1"}} 0
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{{gpu_uuid="GPU-1"}} 0.5
"""


def _counters(**figures: int) -> dict[str, float]:
    return counters_from_metrics(metrics_from_text(METRICS.format(**figures)), "toy")


def test_counters_of_one_model_and_means_between_two_readings() -> None:
    before = _counters(requests=10, inferences=40, duration=1000, queue=100)
    after = _counters(requests=30, inferences=200, duration=9000, queue=500)
    assert before["failures"] == 3
    means = means_between(before, after)
    assert (means.requests, means.inferences, means.executions, means.failures) == (20, 160, 20, 0)
    assert (means.request_us, means.queue_us, means.compute_infer_us) == (400, 20, 20)
    assert means.mean_batch == 8
    assert means_between(after, after).request_us == 0


@pytest.fixture
def metrics_url() -> Any:
    class Handler(http.server.BaseHTTPRequestHandler):
        requests = 0

        def do_GET(self) -> None:
            Handler.requests += 10
            count = Handler.requests
            body = METRICS.format(requests=count, inferences=count, duration=count * 300, queue=count * 30).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_metrics_over_http_and_a_server_without_them(metrics_url: str) -> None:
    result, seen = Watcher(metrics_url=metrics_url).watch("toy", lambda: "done")
    assert result == "done"
    assert seen.triton is not None
    assert (seen.triton.requests, seen.triton.request_us, seen.triton.queue_us) == (10, 300, 30)
    with pytest.raises(ServerUnavailableError, match="--metrics-url none"):
        read_counters("127.0.0.1:1", "toy")
    assert Watcher().watch("toy", lambda: 1)[1].triton is None


class FakeNvml:
    """The part of pynvml that is used, with one GPU."""

    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0
    NVML_PCIE_UTIL_TX_BYTES, NVML_PCIE_UTIL_RX_BYTES = 0, 1

    class NVMLError(Exception):
        pass

    def __init__(self, processes: dict[int, int], *, reasons: int = 0, hides_power: bool = False) -> None:
        self.processes = processes
        self.reasons = reasons
        self.hides_power = hides_power

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "Toy GPU"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=40)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if self.hides_power:
            raise self.NVMLError("not supported")
        return 70_000

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        return 1800

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        return 1980

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:  # noqa: N802
        return 51

    def nvmlDeviceGetDecoderUtilization(self, handle: int) -> list[int]:  # noqa: N802
        return [64, 20_000]

    def nvmlDeviceGetPcieThroughput(self, handle: int, kind: int) -> int:  # noqa: N802
        return 1_000_000 * (kind + 1)  # KiB a second

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: int) -> int:  # noqa: N802
        return 4

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: int) -> int:  # noqa: N802
        return 16

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=3000, total=8 * 2**30)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:  # noqa: N802
        return self.reasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes.items()]

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        return (12, 0)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        return 250_000

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.1"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 13010


def _watched(nvml: FakeNvml, **options: Any) -> Any:
    with GpuWatch(nvml, interval_s=0.005, **options) as watch:
        time.sleep(0.03)
    return watch.observations[0]


@pytest.fixture
def child() -> Any:
    """A child process whose command line names a model, as the stub of a Python-based backend does."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "/repo/toy_fp16/1/model.onnx"])
    yield process
    process.kill()
    process.wait()


def test_memory_is_the_models_own_processes_where_they_can_be_told_apart(child: Any) -> None:
    tree = ProcessTree(os.getpid())
    assert child.pid in tree.pids()
    assert tree.pids_of_model("toy_fp16") == {child.pid}
    assert tree.pids_of_model("toy") == set()
    gpu = _watched(FakeNvml({child.pid: 700, os.getpid(): 200, 999_999_999: 50}), model="toy_fp16", server=tree)
    assert (gpu.memory_bytes, gpu.memory_method) == (700, "model")
    assert gpu.foreign_processes == 1
    served = _watched(FakeNvml({child.pid: 700, os.getpid(): 200}), model="toy_fp16", server=ProcessTree(child.pid))
    assert served.foreign_processes == 0, "the client itself, with its CUDA shared memory, is not foreign"
    whole = _watched(FakeNvml({child.pid: 700, os.getpid(): 200}), model="absent", server=tree)
    assert (whole.memory_bytes, whole.memory_method) == (900, "server")


def test_memory_is_the_difference_where_processes_are_hidden() -> None:
    gpu = _watched(FakeNvml({}), idle_bytes={0: 1000})
    assert (gpu.memory_bytes, gpu.memory_method) == (2000, "difference")
    assert _watched(FakeNvml({})).memory_method == "device"
    assert bytes_in_use(FakeNvml({})) == {0: 3000}
    assert bytes_in_use(None) == {}


def test_clocks_power_and_what_held_the_gpu_back() -> None:
    gpu = _watched(FakeNvml({}, reasons=0x4 | 0x40 | 0x1))
    assert gpu.throttle_reasons == ("hardware_thermal", "power_cap")
    assert (gpu.utilisation_mean, gpu.power_mean_w, gpu.sm_clock_min_mhz, gpu.temperature_max_c) == (40, 70, 1800, 51)
    hidden = _watched(FakeNvml({}, hides_power=True))
    assert hidden.power_mean_w is None
    assert hidden.utilisation_mean == 40


def test_decoder_and_link_are_asked_for_on_request() -> None:
    gpu = _watched(FakeNvml({}), has_media=True)
    assert gpu.decoder_mean == 64
    assert gpu.pcie_mean == pytest.approx(100 * 2_000_000 * 1024 / (16 * 1969e6))
    assert (_watched(FakeNvml({})).decoder_mean, _watched(FakeNvml({})).pcie_mean) == (None, None)


def test_a_gpu_that_falls_off_the_bus_is_told_not_raised() -> None:
    nvml = FakeNvml({})
    with GpuWatch(nvml, interval_s=0.005) as watch:
        wait_for(lambda: bool(watch._readings[0].utilisation))
        for name in [name for name in dir(nvml) if name.startswith("nvmlDeviceGet")]:
            setattr(nvml, name, _lost)
        time.sleep(0.02)
    gpu = watch.observations[0]
    assert gpu.name == "lost GPU"
    assert gpu.utilisation_mean == 40


def test_a_gpu_that_was_lost_before_the_block_is_told_not_raised() -> None:
    nvml = FakeNvml({})
    nvml.nvmlDeviceGetHandleByIndex = _lost  # type: ignore[method-assign]
    with GpuWatch(nvml, interval_s=0.005) as watch:
        pass
    assert watch.observations == ()
    assert bytes_in_use(nvml) == {}
    told = FakeNvml({})
    told.nvmlDeviceGetMemoryInfo = _lost  # type: ignore[method-assign]
    assert bytes_in_use(told) == {}


def test_memory_given_back_since_the_server_started_is_none_not_less() -> None:
    with GpuWatch(FakeNvml({}), idle_bytes={0: 5000}, interval_s=0.005) as watch:
        pass
    assert watch.observations[0].memory_bytes == 0


def _lost(*args: object) -> None:
    raise FakeNvml.NVMLError("GPU is lost")


def test_no_gpu_is_no_observation() -> None:
    with GpuWatch(None) as watch:
        pass
    assert watch.observations == ()


def test_cpu_use_is_measured_in_cores() -> None:
    meter = CpuMeter(own_cpu_s)
    busy_until = time.process_time() + 0.1
    while time.process_time() < busy_until:
        pass
    assert 0.02 < meter.cores() <= 1.2
    meter = CpuMeter(own_cpu_s)
    subprocess.run([sys.executable, "-c", "sum(i * i for i in range(2_000_000))"], check=True)
    assert meter.cores() > 0.02  # a program that was run to its end counts as ours, as perf_analyzer does
    assert ProcessTree(os.getpid()).cpu_s() > 0
    assert ProcessTree(999_999_999).cpu_s() == 0
    assert machine_cpu_s() > 0


def test_fingerprint_names_machine_software_and_pictures() -> None:
    found = environment_fingerprint(FakeNvml({}), server={"kind": "embedded", "version": "2.51.0"})
    assert found["gpus"][0]["compute_capability"] == "12.0"
    assert (found["driver"], found["cuda_driver"]) == ("580.1", "13.1")
    assert found["packages"]["numpy"]
    assert found["cpu_cores"] >= 1
    assert environment_fingerprint(None, server={})["gpus"] == []
    first, second = (frames_fingerprint("/data/clip.mp4", [build_frame(seed=seed)]) for seed in (0, 1))
    frozen = frames_fingerprint("/data/clip.mp4", [build_frame(seed=0)] * 4)
    assert (frozen["frames"], frozen["pictures"]) == (4, 1)
    assert (first["name"], first["frames"], first["width"], first["height"]) == ("clip.mp4", 1, 64, 48)
    assert first["sha256"] != second["sha256"]


def test_a_fingerprint_keeps_no_password() -> None:
    found = frames_fingerprint("rtsp://user:secret@camera/1?token=abc", [build_frame()])
    assert found["name"] == "rtsp://camera/1"
