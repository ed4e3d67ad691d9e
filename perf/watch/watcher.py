"""One block watched: GPUs, CPU, and the server's own counters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from photofinish.errors import ServerUnavailableError
from photofinish.machine.processes import (
    CpuMeter,
    ProcessTree,
    busiest_programs,
    machine_cpu_s,
    own_cpu_s,
    process_table,
)
from photofinish.perf.record.observation import Observation, TritonMeans
from photofinish.perf.watch.gpu import GpuWatch
from photofinish.perf.watch.server_metrics import Counters, means_between, read_counters

T = TypeVar("T")


class ClientProcess(Protocol):
    """A client in a process of its own. cpu_s: processor seconds it has used so far for what is measured."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def cpu_s(self) -> float:
        """Processor seconds so far."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """What is there to watch. metrics_url: "host:port" or "" for none. server_pid: 0 for none of our own.

    no_server: all work is done in this process and those it started, so that whatever else uses the CPU is foreign.
    """

    metrics_url: str = ""
    server_pid: int = 0
    nvml: Any | None = None
    no_server: bool = False
    idle_gpu_bytes: Mapping[int, int] = field(default_factory=dict)

    def watch(self, model: str, work: Callable[[], T], *, client: ClientProcess | None = None) -> tuple[T, Observation]:
        """The result of `work()`, and what was seen while it ran. client: where it is not this process."""
        server = ProcessTree(self.server_pid) if self.server_pid else None
        before, processes, began_s = self._counters(model), process_table(), time.perf_counter()
        own_meter = CpuMeter(ProcessTree(os.getpid()).cpu_s if self.no_server else own_cpu_s)
        client_meter = CpuMeter(client.cpu_s) if client else None
        server_meter = CpuMeter(server.cpu_s) if server else None
        machine_meter = CpuMeter(machine_cpu_s)
        with GpuWatch(
            self.nvml,
            model=model,
            server=server,
            client=ProcessTree(client.pid) if client else None,
            idle_bytes=self.idle_gpu_bytes,
        ) as gpus:
            result = work()
            own_cores = own_meter.cores()
            client_cores = client_meter.cores() if client_meter else own_cores
            server_cores = server_meter.cores() if server_meter else None
            known = server_cores is not None or self.no_server
            ours = (server_cores or 0.0) + own_cores + (client_cores if client else 0.0)
            other_cores = machine_meter.cores() - ours if known else None
            wall_s = time.perf_counter() - began_s
        own = [os.getpid(), self.server_pid, *([client.pid] if client else [])]
        programs = busiest_programs(processes, process_table(), own, wall_s) if other_cores else ()
        return result, Observation(
            gpus=gpus.observations,
            client_cpu_cores=client_cores,
            server_cpu_cores=server_cores,
            other_cpu_cores=None if other_cores is None else max(0.0, other_cores),
            other_programs=programs,
            triton=self._means_since(before, model),
        )

    def _counters(self, model: str) -> Counters | None:
        return read_counters(self.metrics_url, model) if self.metrics_url and model else None

    def _means_since(self, before: Counters | None, model: str) -> TritonMeans | None:
        if before is None:
            return None
        try:
            return means_between(before, read_counters(self.metrics_url, model))
        except ServerUnavailableError:  # the server is gone: the block's own error tells it
            return None
