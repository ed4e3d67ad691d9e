"""Cameras over several GPUs: by what their decoders have to do, for what they can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORTH = 0.9
"""A camera changes its GPU when the busiest one then has less than this of what it had: measured rates vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spreadable:
    """A camera. home: the place of its GPU. pixels_per_s: what it sends, 0 while that is not known."""

    name: str
    home: int
    pixels_per_s: float = 0.0


class Spread:
    """The cameras as they lie now. strengths: of each GPU, in the same unit or any other; () for GPUs that are alike.

    A camera of which nothing is known counts as the mean of the others.
    """

    def __init__(self, cameras: Iterable[Spreadable], gpus: int, strengths: Sequence[float] = ()) -> None:
        self._cameras = list(cameras)
        self._strengths = strengths or (1.0,) * gpus
        known = [camera.pixels_per_s for camera in self._cameras if camera.pixels_per_s]
        self._mean = sum(known) / len(known) if known else 1.0
        self._loads = [0.0] * gpus
        for camera in self._cameras:
            self._loads[camera.home] += camera.pixels_per_s or self._mean

    def home_for_another(self, full: Sequence[bool]) -> int:
        """The GPU that has the least to do with one camera more, of those that are not full where there are some."""
        return min(
            range(len(self._loads)), key=lambda gpu: (full[gpu], self._busy(gpu, self._mean), self._busy(gpu), gpu)
        )

    def relief(self, full: Sequence[bool]) -> tuple[str, int] | None:
        """The camera whose move to another GPU relieves the busiest one most, and where; None if none is worth it."""
        gpus = range(len(self._loads))
        busiest = max(gpus, key=self._busy)
        least, found = WORTH * self._busy(busiest), None
        for camera in self._cameras:
            if camera.home != busiest or not camera.pixels_per_s:
                continue
            for gpu in gpus:
                if gpu == busiest or full[gpu]:
                    continue
                then = max(self._busy(busiest, -camera.pixels_per_s), self._busy(gpu, camera.pixels_per_s))
                if then < least:
                    least, found = then, (camera.name, gpu)
        return found

    def _busy(self, gpu: int, more: float = 0.0) -> float:
        return (self._loads[gpu] + more) / self._strengths[gpu]
