"""Which decode process has each camera: a GPU's where one has room, by priority, else one on the CPU."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

from photofinish.client.cameras.values.camera import Camera, DecodeChoice
from photofinish.client.cameras.wire.messages import Refusal


@dataclass(slots=True)
class _Placed:
    camera: Camera
    order: int
    home: int | None
    reason: str = ""
    refused: str = ""


class DecoderPlacement:
    """Decode processes are numbered: those on the CPU from 0, behind them one for each GPU.

    A camera's home is the GPU that infers its pictures, and decodes them where it can; it stays the same. Either every
    GPU decodes or none does. A GPU's limit is found when it opens no more sessions: then those of the lowest priority,
    and of one priority the newest, go to the CPU. numbers: of each camera's decode process now.
    """

    def __init__(
        self, cpu_processes: int, gpus: int = 0, choice: DecodeChoice = "auto", *, homes: int | None = None
    ) -> None:
        """gpus: those that decode. homes: those that infer, None for the same. choice: for rows that say "auto"."""
        self.numbers: dict[str, int] = {}
        self._cpu_processes = cpu_processes
        self._gpus = gpus
        self._homes = gpus if homes is None else homes
        self._choice = choice
        self._placed: dict[str, _Placed] = {}
        self._limits: dict[int, int] = {}
        self._given_up: dict[int, str] = {}
        self._orders = itertools.count()

    def add(self, camera: Camera) -> list[str]:
        """Place a camera; the others that have another place now."""
        homes = Counter(item.home for item in self._placed.values())
        home = min(range(self._homes), key=lambda gpu: homes[gpu]) if self._homes else None
        self.numbers[camera.name] = self.number_of_gpu(home) if home is not None and self._gpus else -1
        self._placed[camera.name] = _Placed(camera, next(self._orders), home)
        return [name for name in self._settle() if name != camera.name]

    def change(self, camera: Camera) -> list[str]:
        """A row was changed; the cameras that have another place now."""
        item = self._placed[camera.name]
        item.camera, item.refused = camera, ""
        return self._settle()

    def remove(self, name: str) -> list[str]:
        """A camera is gone; the cameras that have another place now."""
        del self._placed[name], self.numbers[name]
        return self._settle()

    def refuse(self, name: str, refusal: Refusal) -> list[str]:
        """A GPU does not decode this camera; those to be told of anew, itself among them, those that leave first."""
        item = self._placed.get(name)
        if item is None or item.home is None or not self.is_on_gpu(name):
            return []
        if refusal.sessions is None:
            item.refused = refusal.reason
        else:
            self._limits[item.home] = refusal.sessions
        moved = self._settle()
        return moved if name in moved else [*moved, name]

    @property
    def session_limits(self) -> dict[int, int]:
        """Of each GPU that took no more sessions, how many it had then."""
        return dict(self._limits)

    def restarted(self, number: int) -> list[str]:
        """A GPU's decode process began anew, and with it what it can do; the cameras that have another place now."""
        gpu = number - self._cpu_processes
        if gpu < 0:
            return []
        self._limits.pop(gpu, None)
        for item in self._placed.values():
            if item.home == gpu:
                item.refused = ""
        return self._settle()

    def give_up(self, number: int, reason: str) -> list[str]:
        """A GPU's decode process does not stay; the cameras that have another place now."""
        self._given_up[number - self._cpu_processes] = reason
        return self._settle()

    def home_of(self, name: str) -> int | None:
        """The place of the GPU that infers the camera's pictures; None where there is none."""
        return self._placed[name].home

    def is_on_gpu(self, name: str) -> bool:
        """Whether a GPU decodes it."""
        return self.numbers.get(name, -1) >= self._cpu_processes

    def reason_of(self, name: str) -> str:
        """Why the CPU decodes it though there is a GPU; "" where nothing is to be said."""
        return self._placed[name].reason

    def number_of_gpu(self, gpu: int) -> int:
        """A GPU's decode process."""
        return self._cpu_processes + gpu

    def _settle(self) -> list[str]:
        """Place all; the names of those that moved, to the CPU first, so that there is room where others go."""
        moved, away = [], self._unwanted()
        for name, item, reason in away:
            item.reason = reason
            if not 0 <= self.numbers[name] < self._cpu_processes:
                used = Counter(self.numbers.values())
                self.numbers[name] = min(range(self._cpu_processes), key=lambda number: used[number])
                moved.append(name)
        staying = {name for name, _, _ in away}
        for name, item in self._placed.items():
            if item.home is not None and name not in staying:
                item.reason = ""
                if self.numbers[name] != (number := self.number_of_gpu(item.home)):
                    self.numbers[name] = number
                    moved.append(name)
        return moved

    def _unwanted(self) -> list[tuple[str, _Placed, str]]:
        """The cameras that the CPU decodes, each with the reason, the most important last."""
        found, wanting = [], list[tuple[str, _Placed]]()
        for name, item in self._placed.items():
            choice = self._choice if item.camera.decode == "auto" else item.camera.decode
            if item.home is None or not self._gpus:
                asked = "no GPU decodes here" if choice == "gpu" else ""
                found.append((name, item, asked))
            elif choice == "cpu":
                found.append((name, item, ""))
            elif why := item.refused or self._given_up.get(item.home, ""):
                found.append((name, item, why))
            else:
                wanting.append((name, item))
        taken: Counter[int | None] = Counter()
        over = []
        for name, item in sorted(wanting, key=lambda pair: (-pair[1].camera.priority, pair[1].order)):
            taken[item.home] += 1
            limit = self._limits.get(item.home if item.home is not None else -1)
            if limit is not None and taken[item.home] > limit:
                over.append((name, item, f"the GPU opens no more than {limit} decoding sessions"))
        return [*found, *reversed(over)]
