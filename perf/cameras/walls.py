"""What ends the number of cameras first, from what was in use while too many were tried."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from photofinish.perf.record.cameras import CamerasStep
from photofinish.perf.record.observation import GpuObservation

WallName = Literal["generator", "sessions", "NVDEC", "SM", "PCIe", "CPU", "server", "cell", "network", "unknown"]
"""cell: one process of it that is one thread, and full. network: cameras that were not there, or stalled."""
FULL = 0.9
FULL_THREAD = 0.85
"""Of one core, by a process that is one thread: its loop is late before it is full."""
MUCH_FOREIGN_CORES = 0.3
_SLOW = ("superseded", "too_old", "degraded", "server_failed")
_AWAY = ("not_connected", "stalled", "before_keyframe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """name, and how it was seen. uses: how full each part was, the fullest first, in shares of 1."""

    name: WallName
    why: str
    uses: tuple[tuple[str, float], ...] = ()


def wall_of_step(step: CamerasStep, cpu_cores: int, *, is_void_by_generator: bool = False) -> Wall:
    """The first wall of a step that missed, or that the generator made void."""
    uses = uses_of_step(step, cpu_cores)
    shown = ", ".join(f"{name} {100 * share:.0f} %" for name, share in uses) or "nothing was told"
    if step.other_cores and step.other_cores >= MUCH_FOREIGN_CORES:
        shown += f"; other programs took {step.other_cores:.2f} of {cpu_cores} cores"
    if is_void_by_generator:
        return Wall(name="generator", why=f"the streams were sent late; in use: {shown}", uses=uses)
    if step.session_limit is not None:
        limits = [f"GPU {gpu} opened {limit}" for gpu, limit in sorted(step.session_limits.items())]
        opened = " and ".join(limits) if len(limits) > 1 else f"the GPU opened {step.session_limit}"
        return Wall(name="sessions", why=f"{opened} decoders and no more", uses=uses)
    for name in ("NVDEC", "SM", "PCIe", "CPU"):
        share = dict(uses).get(name, 0.0)
        if share >= FULL:
            return Wall(name=name, why=f"{100 * share:.0f} % in use{_where(step, name)}; {shown}", uses=uses)
    for part, cores in sorted(step.busiest_cores.items(), key=lambda item: -item[1]):
        if part in ("owner", "ingest") and cores >= FULL_THREAD:
            why = f"its {part} process used {cores:.2f} of the one core that it can use; {shown}"
            return Wall(name="cell", why=why, uses=uses)
    dropped: Counter[str] = Counter()
    for row in step.rows:
        dropped.update(row.dropped)
    kinds = {
        "server": sum(dropped[cause] for cause in _SLOW),
        "CPU": dropped["not_decodable"],
        "network": sum(dropped[cause] for cause in _AWAY),
    }
    cause = ", ".join(f"{name} {count}" for name, count in dropped.most_common(3)) or "late, and not dropped"
    if not any(kinds.values()):
        return Wall(name="server", why=f"frames came late and none was lost; nothing was full: {shown}", uses=uses)
    if kinds["server"] == max(kinds.values()):
        return Wall(name="server", why=f"frames waited for it ({cause}); nothing else was full: {shown}", uses=uses)
    if kinds["CPU"] == max(kinds.values()):
        return Wall(name="CPU", why=f"decoding did not keep up ({cause}); {shown}", uses=uses)
    return Wall(name="network", why=f"cameras were not there ({cause}); {shown}", uses=uses)


def uses_of_step(step: CamerasStep, cpu_cores: int) -> tuple[tuple[str, float], ...]:
    """How full decoder, SM, PCIe and processor were, the fullest first; of several GPUs the fullest one's.

    The streams' own share counts: it is taken.
    """
    found: dict[str, float] = {"CPU": (sum(step.cores.values()) + (step.other_cores or 0.0)) / max(cpu_cores, 1)}
    for gpu in step.gpus:
        for name, percent in _percents(gpu).items():
            if percent is not None:
                found[name] = max(found.get(name, 0.0), percent / 100)
    return tuple(sorted(found.items(), key=lambda item: -item[1]))


def _percents(gpu: GpuObservation) -> dict[str, float | None]:
    return {"NVDEC": gpu.decoder_mean, "SM": gpu.utilisation_mean, "PCIe": gpu.pcie_mean}


def _where(step: CamerasStep, name: str) -> str:
    """On which of several GPUs it is full; "" for one GPU, and for what is not of a GPU."""
    if len(step.gpus) < 2 or name == "CPU":
        return ""
    full = [str(gpu.index) for gpu in step.gpus if (_percents(gpu)[name] or 0.0) >= 100 * FULL]
    return f" on GPU {' and '.join(full)}"
