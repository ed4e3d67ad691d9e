"""What was seen of the machines while a block ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MemoryMethod = Literal["model", "server", "process", "difference", "device", "none"]
"""How a GPU's memory was found: by NVML of the model's own processes, of the whole server, or of a program that needs
none; as the device's memory in use less what was in use before the server, or as that of the whole device."""
Throttle = Literal["power_cap", "slowdown", "thermal", "hardware_thermal", "brake"]
"""What held a GPU's clocks back."""
POWER_CAP: Throttle = "power_cap"
"""The GPU runs at its power limit: what a small card does under full load, and no fault of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuObservation:
    """One GPU through one block.

    foreign_processes: compute processes on the GPU that belong neither to the server nor to this client.
    decoder_mean, pcie_mean: percent of the video decoder and of the link's rate, None where nobody asked.
    """

    index: int
    name: str
    memory_bytes: int | None = None
    memory_method: MemoryMethod = "none"
    utilisation_mean: float | None = None
    power_mean_w: float | None = None
    sm_clock_mean_mhz: float | None = None
    sm_clock_min_mhz: float | None = None
    temperature_max_c: float | None = None
    throttle_reasons: tuple[Throttle, ...] = ()
    foreign_processes: int = 0
    decoder_mean: float | None = None
    pcie_mean: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonMeans:
    """Triton's own counters of one model over one block; times are means per request in microseconds.

    An inference is one image, an execution one run: mean_batch = inferences / executions.
    """

    requests: int
    failures: int
    inferences: int
    executions: int
    request_us: float
    queue_us: float
    compute_input_us: float
    compute_infer_us: float
    compute_output_us: float

    @property
    def mean_batch(self) -> float:
        """Images per execution."""
        return self.inferences / self.executions if self.executions else 0.0

    @property
    def compute_us(self) -> float:
        """Input copy, engine and output copy together."""
        return self.compute_input_us + self.compute_infer_us + self.compute_output_us


def joined_means(parts: Sequence[TritonMeans | None]) -> TritonMeans | None:
    """What the windows say together: every request counts once. None where no request was seen."""
    seen = [part for part in parts if part and part.requests]
    requests = sum(part.requests for part in seen)
    if not requests:
        return None

    def mean(key: str) -> float:
        return float(sum(getattr(part, key) * part.requests for part in seen) / requests)

    return TritonMeans(
        requests=requests,
        failures=sum(part.failures for part in seen),
        inferences=sum(part.inferences for part in seen),
        executions=sum(part.executions for part in seen),
        request_us=mean("request_us"),
        queue_us=mean("queue_us"),
        compute_input_us=mean("compute_input_us"),
        compute_infer_us=mean("compute_infer_us"),
        compute_output_us=mean("compute_output_us"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that was seen. None: not measured. CPU use is in cores, e.g. 1.5 of 2; other: neither client nor server.

    other_programs: the busiest of those, name and cores; () in older records.
    """

    gpus: tuple[GpuObservation, ...] = ()
    client_cpu_cores: float | None = None
    server_cpu_cores: float | None = None
    other_cpu_cores: float | None = None
    other_programs: tuple[tuple[str, float], ...] = ()
    triton: TritonMeans | None = None
