"""The memory of a process that several models share, told model by model."""

from __future__ import annotations

from collections import Counter

from ..cuda.driver import Cuda, refuse_on_error
from ..memory import (
    COMMON_GPU_METRIC,
    COMMON_HOST_METRIC,
    GPU_METRIC,
    HOST_METRIC,
    MemoryFigure,
    own_gpu_bytes,
    resident_bytes,
    told_figures,
)
from ..model import ApartError, ConfiguredModel

_COMMON = {HOST_METRIC: COMMON_HOST_METRIC, GPU_METRIC: COMMON_GPU_METRIC}


class Account:
    """The memory of a process that several models share: to each what loading it added, and what is common to all.

    Models are loaded one at a time. At each load the shares and what is common are together what the process holds;
    what others take beyond their share while they serve is common. Only models go together that want the same of what
    a process has once.
    """

    def __init__(self) -> None:
        self._shares: dict[str, Counter[str]] = {}
        self._settings = ""
        self._before: Counter[str] = Counter()
        self._name = ""
        self.cuda: Cuda | None = None

    def prepare(self, name: str, model: ConfiguredModel) -> None:
        """Before the model, an instance of that name, is loaded: the context is there. Raises ApartError."""
        settings = process_settings(model)
        if self._shares and settings != self._settings:
            raise ApartError(settings)
        self._settings, self._name = settings, name
        if model.device == "cuda" and self.cuda is None:
            self.cuda = Cuda(model.device_id, is_shared=True)
            if model.card.get("cuda_graphs"):
                with refuse_on_error():
                    self.cuda.shrink_stacks()
        self._before = self._held(model)

    def figures(self, model: ConfiguredModel, gpu_bytes: int) -> list[MemoryFigure]:
        """When it is loaded: its share, and what is common. gpu_bytes: its share where the driver does not tell."""
        held = self._held(model)
        share = Counter({name: max(size - self._before[name], 0) for name, size in held.items()})
        if model.device == "cuda" and not held[GPU_METRIC]:
            share[GPU_METRIC] = gpu_bytes
        self._shares[self._name] = share
        found = dict(share)
        for metric, common in _COMMON.items():
            if held[metric]:
                shares = list(self._shares.values())  # at once: another model's thread may take its own out
                found[common] = max(held[metric] - sum(each[metric] for each in shares), 0)
        return told_figures(model, found)

    def leave(self, name: str) -> None:
        """The instance is no longer there, and what it took is free."""
        self._shares.pop(name, None)

    def is_broken(self) -> bool:
        """Whether nothing can be run in this process's context on the GPU any more."""
        return self.cuda is not None and self.cuda.is_broken()

    def _held(self, model: ConfiguredModel) -> Counter[str]:
        held = Counter({HOST_METRIC: resident_bytes()})
        if model.device == "cuda":
            held[GPU_METRIC] = own_gpu_bytes()
        return held


def process_settings(model: ConfiguredModel) -> str:
    """What it wants of things that a process has once: small stacks on the GPU, TF32, a library of TensorRT's."""
    wishes = [name for name in ("cuda_graphs", "tf32") if model.card.get(name)]
    wishes += sorted({str(engine.get("library")) for engine in model.card.get("engines", {}).values()})
    return "-" + "-".join(wishes or ["plain"])
