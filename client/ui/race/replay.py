"""A race out of measured arrivals: who is where at which moment, where the finish line is, and how large the gap is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.client.ui.words import Language
from photofinish.detections import PARTNER_CONFIDENCE, SHOWN_CONFIDENCE, Detections, match_partners
from photofinish.errors import ConfigError

NS_PER_S = 1_000_000_000
LONGEST_REPLAY_S = 8.0
"""A replay in which nobody names the finish line is over by then: people look at a screen for ten seconds."""
ROUND_STEPS = (5, 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceLane:
    """One side's run by itself. arrivals_ns: (n,) int64, when each frame's boxes were there, from the start on.

    variant: the model's name; how: engine and precision, as people call them.
    """

    variant: str
    how: str
    arrivals_ns: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raise ValueError unless there are arrivals, each after the start and none before the one before it."""
        times = self.arrivals_ns
        if times.ndim != 1 or not len(times) or times[0] < 0 or (np.diff(times) < 0).any():
            raise ValueError(f"arrivals_ns must be (n,) growing times with n of at least 1, got shape {times.shape}")

    def done_by(self, now_ns: int) -> int:
        """How many frames had their boxes by then."""
        return int(np.searchsorted(self.arrivals_ns, now_ns, side="right"))

    def finish_ns(self, finish: int) -> int:
        """When frame number `finish`, counted from 1, had its boxes."""
        return int(self.arrivals_ns[finish - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceClaim:
    """What the measurement claims of the frames per second, as every report of it does.

    ratio: optimised over baseline; low, high: its 95 % interval, None without rounds. shows_difference: False where the
    interval holds 1. doubts: by language, all that speaks against it; with any, nothing is claimed.
    """

    ratio: float
    low: float | None = None
    high: float | None = None
    shows_difference: bool = True
    doubts: Mapping[Language, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_void(self) -> bool:
        """Whether nothing may be claimed."""
        return any(self.doubts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPictures:
    """The pictures that both sides were given over and over, and what each found in them.

    images: (height, width, 3) uint8, blue first, in order. found: by side, one value for each picture, with boxes down
    to PARTNER_CONFIDENCE. class_names: of the model.
    """

    images: tuple[npt.NDArray[np.uint8], ...]
    found: Mapping[Side, tuple[Detections, ...]]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless each side looked at every picture."""
        counts = {side: len(self.found[side]) for side in SIDES}
        if not self.images or set(counts.values()) != {len(self.images)}:
            raise ValueError(f"need detections of each of {len(self.images)} pictures (at least 1), got {counts}")

    def index_of(self, frame: int) -> int:
        """Which picture frame number `frame`, counted from 1, was."""
        return (frame - 1) % len(self.images)

    def shared(self, index: int) -> tuple[int, int]:
        """Of all objects that either side shows in a picture, how many both found; and how many those are."""
        left, right = (self.found[side][index] for side in SIDES)
        shown, other = left.at_least(SHOWN_CONFIDENCE), right.at_least(SHOWN_CONFIDENCE)
        # A shown box's partner may be a little weaker, so that a box at the limit is not lost. Boxes come best first.
        mine = match_partners(shown, right.at_least(PARTNER_CONFIDENCE))
        theirs = match_partners(other, left.at_least(PARTNER_CONFIDENCE))
        twice = int(((mine >= 0) & (mine < len(other))).sum())
        same = int((mine >= 0).sum()) + int((theirs >= 0).sum()) - twice
        return same, same + int((mine < 0).sum()) + int((theirs < 0).sum())

    def shared_in(self, frames: int) -> tuple[int, int]:
        """The same over the pictures that the first `frames` frames were, each picture once."""
        counts = [self.shared(index) for index in range(min(frames, len(self.images)))]
        return sum(same for same, _ in counts), sum(everything for _, everything in counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Both runs from one start to a finish line of `finish` frames.

    rounds, block_s: how the runs were measured, in turn. machine: what it ran on, by language. model: what the variants
    are of.
    """

    lanes: Mapping[Side, RaceLane]
    finish: int
    claim: RaceClaim
    pictures: SeenPictures
    machine: Mapping[Language, str] = field(default_factory=dict)
    model: str = ""
    rounds: int = 1
    block_s: float = 1.0

    def __post_init__(self) -> None:
        """Raise ConfigError where a side has not come as far as the finish line."""
        reached = {side: len(self.lanes[side].arrivals_ns) for side in SIDES}
        if self.finish < 1:
            raise ConfigError(f"the finish line must lie at frame 1 or later, got {self.finish}; raise --frames")
        if behind := {side: count for side, count in reached.items() if count < self.finish}:
            told = " and ".join(f"{side} came to {count}" for side, count in behind.items())
            raise ConfigError(f"{told} of {self.finish} frames in the measured time; raise --seconds or lower --frames")

    @property
    def winner(self) -> Side:
        """Who reached the finish line first."""
        return min(SIDES, key=lambda side: self.lanes[side].finish_ns(self.finish))

    @property
    def loser(self) -> Side:
        """The other one."""
        return SIDES[1] if self.winner == SIDES[0] else SIDES[0]

    @property
    def duration_ns(self) -> int:
        """From the start until both are there."""
        return self.lanes[self.loser].finish_ns(self.finish)

    @property
    def won_ns(self) -> int:
        """From the start until the first one is there."""
        return self.lanes[self.winner].finish_ns(self.finish)

    @property
    def gap_ns(self) -> int:
        """How much later the other one came."""
        return self.duration_ns - self.won_ns

    @property
    def gap_frames(self) -> int:
        """How many frames the other one still had before it when the first one finished."""
        return self.finish - self.lanes[self.loser].done_by(self.won_ns)

    def done(self, side: Side, now_ns: int) -> int:
        """How many frames a side has done by then; at the finish line it stops."""
        return min(self.lanes[side].done_by(now_ns), self.finish)


def finish_line(lanes: Mapping[Side, RaceLane], longest_s: float = LONGEST_REPLAY_S) -> int:
    """A round number of frames that the slower side reaches within `longest_s`, and both reached; at least 1."""
    limit_ns = int(longest_s * NS_PER_S)
    reached = min(lane.done_by(limit_ns) for lane in lanes.values())
    if reached < 10:
        return max(reached, 1)
    scale = int(10 ** (len(str(reached)) - 1))
    return next(step * scale for step in ROUND_STEPS if step * scale <= reached)
