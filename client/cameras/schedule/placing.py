"""Which decode process has each camera, and in which way: a GPU's session, the CPU, or a GPU's pool for keyframes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from photofinish.client.cameras.schedule.spreading import Spread, Spreadable
from photofinish.client.cameras.values.camera import Camera, DecodeChoice
from photofinish.client.cameras.values.status import DecodeWay
from photofinish.client.cameras.wire.messages import Refusal

POOL_SESSIONS = 4
"""Sessions of a GPU that cameras share for keyframes, at most: one is needed for each coding and size."""
POOL_SHARE = 8
"""One session in so many goes to them."""
_LEAVING: tuple[DecodeWay, ...] = ("cpu", "pool", "gpu")
"""Who is told first: those that leave sessions, so that there are some where others go."""


@dataclass(slots=True)
class _Placed:
    """share: which of its GPU's decode processes has the camera."""

    camera: Camera
    order: int
    home: int | None
    share: int = 0
    refused: str = ""
    way: DecodeWay = "cpu"
    reason: str = ""
    pixels_per_s: float = 0.0


class DecoderPlacement:
    """Decode processes are numbered: those on the CPU from 0, behind them those of each GPU, as many of each.

    A camera's home is the GPU that infers its pictures, and decodes them where it can; it changes by `rehome` alone.
    Either every GPU decodes or none does. A GPU's limit is found when it opens no more sessions: then those of the
    lowest priority, and of one priority the newest, go to the CPU, whichever process refused; and those of them for
    whom the CPU has no room share a few sessions of one process for keyframes.
    numbers: of each camera's decode process now. without_session: by a GPU's decode process, how many cameras it would
    decode if it opened more sessions; of them all, spilled are on the CPU, of which poolable could share sessions of
    their GPU instead, and pooled do so.
    """

    def __init__(
        self,
        cpu_processes: int,
        gpus: int = 0,
        choice: DecodeChoice = "auto",
        *,
        homes: int | None = None,
        each: int = 1,
        strengths: Sequence[float] = (),
    ) -> None:
        """gpus: those that decode. homes: those that infer, None for the same. choice: for rows that say "auto".

        each: decode processes of a GPU. strengths: of each home, as in Spread.
        """
        self.numbers: dict[str, int] = {}
        self._cpu_processes = cpu_processes
        self._gpus = gpus
        self._homes = gpus if homes is None else homes
        self._each = each
        self._choice = choice
        self._strengths = strengths
        self._placed: dict[str, _Placed] = {}
        self._limits: dict[int, int] = {}
        self._room: int | None = None
        self.without_session: Mapping[int, int] = {}
        self.spilled = self.pooled = self.poolable = 0
        self._given_up: dict[int, str] = {}
        self._orders = itertools.count()

    def add(self, camera: Camera) -> list[str]:
        """Place a camera; the others that have another place now."""
        home = self._spread().home_for_another(self._full()) if self._homes else None
        share = 0 if home is None else self._share_for_another(home)
        self._placed[camera.name] = _Placed(camera, next(self._orders), home, share)
        self.numbers[camera.name] = -1
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

    def weigh(self, pixels_per_s: Mapping[str, float]) -> tuple[str, int] | None:
        """What each camera sends; one that a GPU with less to do had better have, and that GPU's place."""
        for name, sent in pixels_per_s.items():
            self._placed[name].pixels_per_s = sent
        return self._spread().relief(self._full()) if self._homes > 1 else None

    def rehome(self, name: str, home: int) -> list[str]:
        """Another GPU has a camera now; the cameras that have another place now."""
        item = self._placed[name]
        item.share = self._share_for_another(home)
        item.home, item.refused = home, ""
        return self._settle()

    def refuse(self, name: str, refusal: Refusal) -> list[str]:
        """A GPU does not decode this camera; those to be told of anew, itself among them, those that leave first."""
        item = self._placed.get(name)
        if item is None or item.home is None or not self.is_on_gpu(name):
            return []
        if refusal.sessions is None:
            item.refused = refusal.reason
        else:
            elsewhere = set(self._numbers_of(item.home)) - {self.numbers[name]}
            self._limits[item.home] = refusal.sessions + sum(
                self.way_of(other) == "gpu" for other, number in self.numbers.items() if number in elsewhere
            )  # those who are still to be refused among them
        moved = self._settle()
        return moved if name in moved else [*moved, name]

    def reconsider(self, name: str) -> list[str]:
        """A GPU may try a camera again that it did not take; the cameras that have another place now."""
        self._placed[name].refused = ""
        return self._settle()

    def lift(self, number: int, sessions: int) -> list[str]:
        """A GPU's decode process could open so many sessions more; the cameras that have another place now."""
        gpu = self._gpu_of(number)
        if gpu in self._limits:
            self._limits[gpu] += sessions
        return self._settle()

    def leave_room_for(self, cameras: int | None) -> list[str]:
        """The CPU takes so many of those whom sessions are missing for, None for all; those with another place now."""
        self._room = cameras
        return self._settle()

    def restarted(self, number: int) -> list[str]:
        """A GPU's decode process began anew, and with it what it can do; the cameras that have another place now."""
        if number < self._cpu_processes:
            return []
        self._limits.pop(self._gpu_of(number), None)
        for item in self._placed.values():
            if self._number(item) == number:
                item.refused = ""
        return self._settle()

    def give_up(self, number: int, reason: str) -> list[str]:
        """A GPU's decode process does not stay; the cameras that have another place now.

        The others of its GPU take them, where there are some.
        """
        self._given_up[number] = reason
        for item in self._placed.values():
            if item.home is not None and self._number(item) == number:
                item.share = self._share_for_another(item.home)
        return self._settle()

    @property
    def session_limits(self) -> dict[int, int]:
        """Of each GPU that took no more sessions, how many it had then."""
        return dict(self._limits)

    def home_of(self, name: str) -> int | None:
        """The place of the GPU that infers the camera's pictures; None where there is none."""
        return self._placed[name].home

    def is_on_gpu(self, name: str) -> bool:
        """Whether a GPU decodes it."""
        return self.numbers.get(name, -1) >= self._cpu_processes

    def way_of(self, name: str) -> DecodeWay:
        """How it is decoded."""
        return self._placed[name].way

    def reason_of(self, name: str) -> str:
        """Why no session of its own decodes it though there is a GPU; "" where nothing is to be said."""
        return self._placed[name].reason

    def pool_sessions_of(self, name: str) -> int:
        """The sessions of its GPU that cameras may share; none of so few that a camera had none of its own."""
        limit = self._limit(self._placed[name]) or 0
        return 0 if limit < 2 else min(POOL_SESSIONS, max(limit // POOL_SHARE, 1))

    def _numbers_of(self, gpu: int) -> range:
        """A GPU's decode processes."""
        first = self._cpu_processes + gpu * self._each
        return range(first, first + self._each)

    def _gpu_of(self, number: int) -> int:
        return (number - self._cpu_processes) // self._each

    def _shared_number(self, gpu: int) -> int:
        """The one of a GPU's decode processes that has sessions for several cameras, and is asked for more."""
        return next((number for number in self._numbers_of(gpu) if number not in self._given_up), -1)

    def _number(self, item: _Placed) -> int:
        """The decode process of its GPU that has the camera, or would have it; -1 where there is none."""
        return -1 if item.home is None else self._numbers_of(item.home)[item.share]

    def _share_for_another(self, gpu: int) -> int:
        """Which of a GPU's decode processes has the fewest cameras, of those that stay if some do."""
        used = Counter(self._number(item) for item in self._placed.values())
        numbers = self._numbers_of(gpu)
        return min(range(self._each), key=lambda share: (numbers[share] in self._given_up, used[numbers[share]]))

    def _spread(self) -> Spread:
        return Spread(
            (
                Spreadable(name=name, home=item.home, pixels_per_s=item.pixels_per_s)
                for name, item in self._placed.items()
                if item.home is not None
            ),
            self._homes,
            self._strengths,
        )

    def _full(self) -> list[bool]:
        """Which GPUs have no session for another camera, or do not stay."""
        homes = Counter(item.home for item in self._placed.values())
        return [
            self._given_up.keys() >= set(self._numbers_of(gpu))
            or (gpu in self._limits and homes[gpu] >= self._limits[gpu])
            for gpu in range(self._homes)
        ]

    def _settle(self) -> list[str]:
        """Place all; the names of those that moved, those that leave sessions first."""
        moved = dict[DecodeWay, list[str]]({way: [] for way in _LEAVING})
        for item, way, reason in self._ways():
            name, before = item.camera.name, (item.way, self.numbers[item.camera.name])
            item.way, item.reason = way, reason
            if way != "cpu" and item.home is not None:
                self.numbers[name] = self._shared_number(item.home) if way == "pool" else self._number(item)
            elif not 0 <= before[1] < self._cpu_processes:
                used = Counter(self.numbers.values())
                self.numbers[name] = min(range(self._cpu_processes), key=lambda number: used[number])
            if before != (way, self.numbers[name]):
                moved[way].append(name)
        return [name for way in _LEAVING for name in moved[way]]

    def _ways(self) -> list[tuple[_Placed, DecodeWay, str]]:
        """Every camera's way with the reason, those without a session first and of them the least important."""
        found, wanting = list[tuple[_Placed, DecodeWay, str]](), list[_Placed]()
        for item in self._placed.values():
            choice = self._choice if item.camera.decode == "auto" else item.camera.decode
            if item.home is None or not self._gpus:
                found.append((item, "cpu", "no GPU decodes here" if choice == "gpu" else ""))
            elif choice == "cpu":
                found.append((item, "cpu", ""))
            elif why := item.refused or self._given_up.get(self._number(item), ""):
                found.append((item, "cpu", why))
            else:
                wanting.append(item)
        wanting.sort(key=lambda item: (-item.camera.priority, item.order))
        over = self._beyond(wanting, has_pool=False)
        if self._room is not None and len(over) > self._room:
            over = self._beyond(wanting, has_pool=True)
        left = len(over) if self._room is None else self._room
        without = list[tuple[_Placed, DecodeWay, str]]()
        for item in over:
            why = f"the GPU opens no more than {self._limit(item)} decoding sessions"
            if left > 0 or not self.pool_sessions_of(item.camera.name):
                left -= 1
                without.append((item, "cpu", why))
            else:
                without.append((item, "pool", f"{why}, and the CPU has no room"))
        self._count(without)
        names = {item.camera.name for item in over}
        own: list[tuple[_Placed, DecodeWay, str]] = [
            (item, "gpu", "") for item in wanting if item.camera.name not in names
        ]
        return [*found, *reversed(without), *own]

    def _count(self, without: list[tuple[_Placed, DecodeWay, str]]) -> None:
        on_cpu = [item.camera.name for item, way, _ in without if way == "cpu"]
        self.spilled, self.pooled = len(on_cpu), len(without) - len(on_cpu)
        self.poolable = sum(self.pool_sessions_of(name) > 0 for name in on_cpu)
        homes = (item.home for item, _, _ in without)
        self.without_session = Counter(self._shared_number(home) for home in homes if home is not None)

    def _beyond(self, wanting: list[_Placed], *, has_pool: bool) -> list[_Placed]:
        """Those that their GPU has no session for, the most important first."""
        taken: Counter[int | None] = Counter()
        over = []
        for item in wanting:
            taken[item.home] += 1
            limit = self._limit(item)
            if limit is not None and has_pool:
                limit -= self.pool_sessions_of(item.camera.name)
            if limit is not None and taken[item.home] > limit:
                over.append(item)
        return over

    def _limit(self, item: _Placed) -> int | None:
        return self._limits.get(-1 if item.home is None else item.home)
