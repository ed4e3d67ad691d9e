"""GPUs seen through NVML while a block runs: memory, use, power, clocks, what held the clocks back."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from photofinish.machine.gpu import bytes_by_process, gpu_handles, gpu_name, told
from photofinish.machine.processes import ProcessTree
from photofinish.perf.record.observation import POWER_CAP, GpuObservation, MemoryMethod, Throttle

THROTTLE_REASONS: Mapping[Throttle, int] = {
    POWER_CAP: 0x4,
    "slowdown": 0x8,
    "thermal": 0x20,
    "hardware_thermal": 0x40,
    "brake": 0x80,
}
"""NVML's clocks-event bits that mean the GPU was held back. Idle and application clocks are not among them."""
DEFAULT_INTERVAL_S = 0.1
LANE_BYTES_PER_S: Mapping[int, float] = {1: 250e6, 2: 500e6, 3: 985e6, 4: 1969e6, 5: 3938e6, 6: 7563e6}
"""What one lane of PCI Express carries one way, by generation."""


@dataclass(slots=True)
class _Readings:
    utilisation: list[float] = field(default_factory=list)
    power_w: list[float] = field(default_factory=list)
    sm_clock_mhz: list[float] = field(default_factory=list)
    temperature_c: list[float] = field(default_factory=list)
    device_bytes: list[int] = field(default_factory=list)
    decoder: list[float] = field(default_factory=list)
    pcie: list[float] = field(default_factory=list)
    reasons: set[Throttle] = field(default_factory=set)


class GpuWatch:
    """Samples every GPU while the block runs; `observations` afterwards.

    idle_bytes: memory in use on each GPU before the server was started, for the device difference where the processes
    on the GPU cannot be told apart (containers hide them). client: a process that computes by itself where no model is
    given. has_media: whether decoder and link are asked for too, which takes 40 ms each time.
    """

    def __init__(
        self,
        nvml: Any | None,
        *,
        model: str = "",
        server: ProcessTree | None = None,
        client: ProcessTree | None = None,
        idle_bytes: Mapping[int, int] | None = None,
        interval_s: float = DEFAULT_INTERVAL_S,
        has_media: bool = False,
    ) -> None:
        self._nvml = nvml
        self._model = model
        self._server = server
        self._client = client
        self._idle_bytes = dict(idle_bytes or {})
        self._interval_s = interval_s
        self._has_media = has_media
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._handles = gpu_handles(nvml)
        self._readings = [_Readings() for _ in self._handles]
        self.observations: tuple[GpuObservation, ...] = ()

    def __enter__(self) -> GpuWatch:
        """Begin to sample."""
        if self._nvml:
            self._thread = threading.Thread(target=self._sample_until_stopped, name="gpu-watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling and sum up."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
        self.observations = tuple(self._summed_up(index) for index in range(len(self._readings)))

    def _sample_until_stopped(self) -> None:
        while True:
            for index, readings in enumerate(self._readings):
                self._sample(index, readings)
            if self._stopping.wait(self._interval_s):
                return

    def _sample(self, index: int, readings: _Readings) -> None:
        nvml = self._nvml
        assert nvml is not None
        handle = self._handles[index]
        for values, read in (
            (readings.utilisation, lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            (readings.power_w, lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            (readings.sm_clock_mhz, lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))),
            (readings.temperature_c, lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            (readings.device_bytes, lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).used)),
        ):
            if (value := told(nvml, read)) is not None:
                values.append(value)
        if self._has_media:
            if (decoder := told(nvml, lambda: float(nvml.nvmlDeviceGetDecoderUtilization(handle)[0]))) is not None:
                readings.decoder.append(decoder)
            if (pcie := told(nvml, lambda: _pcie_percent(nvml, handle))) is not None:
                readings.pcie.append(pcie)
        bits = told(nvml, lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))) or 0
        readings.reasons.update(name for name, bit in THROTTLE_REASONS.items() if bits & bit)

    def _summed_up(self, index: int) -> GpuObservation:
        nvml, readings, handle = self._nvml, self._readings[index], self._handles[index]
        assert nvml is not None
        by_process = bytes_by_process(nvml, handle)
        memory_bytes, method = self._memory(index, by_process, readings.device_bytes)
        known = self._server.pids() if self._server else set()
        ours = known | ProcessTree(os.getpid()).pids()
        return GpuObservation(
            index=index,
            name=gpu_name(nvml, handle),
            memory_bytes=memory_bytes,
            memory_method=method,
            utilisation_mean=_mean(readings.utilisation),
            power_mean_w=_mean(readings.power_w),
            sm_clock_mean_mhz=_mean(readings.sm_clock_mhz),
            sm_clock_min_mhz=min(readings.sm_clock_mhz, default=None),
            temperature_max_c=max(readings.temperature_c, default=None),
            throttle_reasons=tuple(sorted(readings.reasons)),
            foreign_processes=len(set(by_process) - ours) if known & set(by_process) else 0,
            decoder_mean=_mean(readings.decoder),
            pcie_mean=_mean(readings.pcie),
        )

    def _memory(self, index: int, by_process: Mapping[int, int], device: list[int]) -> tuple[int | None, MemoryMethod]:
        """The memory of the model, and how it was found."""
        if self._client and not self._model and (own := self._client.pids() & set(by_process)):
            return sum(by_process[pid] for pid in own), "process"
        if self._server and (own := self._server.pids_of_model(self._model) & set(by_process)):
            return sum(by_process[pid] for pid in own), "model"
        if self._server and (all_pids := self._server.pids() & set(by_process)):
            return sum(by_process[pid] for pid in all_pids), "server"
        if device and index in self._idle_bytes:
            return max(0, max(device) - self._idle_bytes[index]), "difference"
        if device:
            return max(device), "device"
        return None, "none"


def _pcie_percent(nvml: Any, handle: Any) -> float | None:
    """Of what the link carries in the busier direction now; None where its generation is not known."""
    kinds = (nvml.NVML_PCIE_UTIL_TX_BYTES, nvml.NVML_PCIE_UTIL_RX_BYTES)
    busier = max(float(nvml.nvmlDeviceGetPcieThroughput(handle, kind)) for kind in kinds) * 1024
    lane = LANE_BYTES_PER_S.get(int(nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)))
    return 100 * busier / (lane * int(nvml.nvmlDeviceGetCurrPcieLinkWidth(handle))) if lane else None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
