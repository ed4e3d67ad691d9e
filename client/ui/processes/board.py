"""The counters a side keeps in shared memory, and the numbers shown beneath its panel."""

from __future__ import annotations

import bisect
import ctypes
import math
import multiprocessing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RING_SIZE = 4096
"""Samples kept: 5 s at 800 frames a second."""
WINDOW_S = 5.0
TURNS_WINDOW_S = 10.0
"""The window of sides that take turns: each works half the time at most, and P95 needs its samples."""
MIN_SAMPLES_P50 = 5
MIN_SAMPLES_P95 = 20

_SAMPLE = np.dtype(
    [
        ("finished_ns", np.int64),
        ("latency_ns", np.int64),
        ("turn_ns", np.int64),
        ("found", np.int32),
        ("truth", np.int32),
        ("matched", np.int32),
        ("padding", np.int32),
    ]
)
NO_TRUTH = -1
LATENCY_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histogram since the start, for Prometheus; one bucket more holds the rest."""

_DONE, _DROPPED, _PASSED, _LATENCY_SUM, _FIRST_BUCKET = range(5)


class BoardMemory:
    """The shared bytes of one side's counters; travels to a spawned process as a constructor argument."""

    def __init__(self) -> None:
        """Reserve the memory, all zero."""
        context = multiprocessing.get_context("spawn")
        self.words: Any = context.RawArray(ctypes.c_int64, _FIRST_BUCKET + len(LATENCY_BUCKETS_S) + 1)
        self.samples: Any = context.RawArray(ctypes.c_uint8, _SAMPLE.itemsize * RING_SIZE)


class Board:
    """Counters of one side. One process records; any process reads. Frames and drops only ever grow."""

    def __init__(self, memory: BoardMemory) -> None:
        """A view of the counters in `memory`."""
        self._words = np.frombuffer(memory.words, dtype=np.int64)
        self._samples = np.frombuffer(memory.samples, dtype=_SAMPLE)

    @property
    def frames_done(self) -> int:
        """Frames whose detections came back."""
        return int(self._words[_DONE])

    @property
    def frames_dropped(self) -> int:
        """Frames the source gave while this side was busy."""
        return int(self._words[_DROPPED])

    @property
    def frames_passed(self) -> int:
        """Frames the source gave while this side waited for its turn."""
        return int(self._words[_PASSED])

    @property
    def latency_sum_s(self) -> float:
        """Sum of all latencies since the start."""
        return int(self._words[_LATENCY_SUM]) / 1e9

    @property
    def latency_bucket_counts(self) -> tuple[int, ...]:
        """Frames per latency bucket since the start, not cumulative; the last is above every bound."""
        return tuple(int(count) for count in self._words[_FIRST_BUCKET:])

    def record(
        self,
        *,
        finished_ns: int,
        latency_ns: int,
        found: int,
        truth: int = NO_TRUTH,
        matched: int = 0,
        dropped: int = 0,
        passed: int = 0,
        turn_ns: int = 0,
    ) -> None:
        """Count one finished frame. truth: objects in it, NO_TRUTH when nobody knows; matched: those found.

        turn_ns: how long the side worked on it, where sides take turns; 0: they do not.
        """
        self._samples[self.frames_done % RING_SIZE] = (finished_ns, latency_ns, turn_ns, found, truth, matched, 0)
        self._words[_DROPPED] += dropped
        self._words[_PASSED] += passed
        self._words[_LATENCY_SUM] += latency_ns
        self._words[_FIRST_BUCKET + bisect.bisect_left(LATENCY_BUCKETS_S, latency_ns / 1e9)] += 1
        self._words[_DONE] += 1

    def reset(self) -> None:
        """Forget everything; for a new source or variant, while no process records."""
        self._samples["finished_ns"] = 0
        self._words[:] = 0

    def samples_since(self, since_ns: int) -> npt.NDArray[np.void]:
        """The kept samples that finished at or after `since_ns`, oldest first."""
        count = self.frames_done
        kept = min(count, RING_SIZE)
        positions = np.arange(count - kept, count) % RING_SIZE
        samples = self._samples[positions]
        recent: npt.NDArray[np.void] = samples[samples["finished_ns"] >= since_ns]
        return recent


@dataclass(frozen=True, slots=True, kw_only=True)
class SideNumbers:
    """What one side did in the window; None where the sample is too small to say."""

    frames_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    recall: float | None
    precision: float | None
    frames_done: int
    frames_dropped: int
    frames_passed: int = 0


def numbers_from_board(board: Board, now_ns: int, *, offered_per_s: float | None = None) -> SideNumbers:
    """The side's numbers over the window that ends at `now_ns` (perf_counter_ns).

    offered_per_s: the camera's rate, above which no side is said to work when rates come from turns.
    """
    samples = board.samples_since(now_ns - int(TURNS_WINDOW_S * 1e9))
    takes_turns = bool(len(samples) and samples["turn_ns"][-1])
    if not takes_turns:
        samples = samples[samples["finished_ns"] >= now_ns - int(WINDOW_S * 1e9)]
    latencies_ns = np.sort(samples["latency_ns"])
    known = samples[samples["truth"] != NO_TRUTH]
    matched, truth, found = (int(known[name].sum()) for name in ("matched", "truth", "found"))
    rate = _frames_per_turn_s(samples["turn_ns"]) if takes_turns else _frames_per_s(samples["finished_ns"], now_ns)
    return SideNumbers(
        frames_per_s=min(rate, offered_per_s) if takes_turns and rate and offered_per_s else rate,
        p50_ms=_percentile_ms(latencies_ns, 0.50, MIN_SAMPLES_P50),
        p95_ms=_percentile_ms(latencies_ns, 0.95, MIN_SAMPLES_P95),
        recall=matched / truth if truth else None,
        precision=matched / found if found else None,
        frames_done=board.frames_done,
        frames_dropped=board.frames_dropped,
        frames_passed=board.frames_passed,
    )


def _frames_per_s(finished_ns: npt.NDArray[np.int64], now_ns: int) -> float | None:
    """Frames over the time since the first of them: a side that stopped falls towards 0."""
    if len(finished_ns) < MIN_SAMPLES_P50:
        return None
    return (len(finished_ns) - 1) / max((now_ns - int(finished_ns[0])) / 1e9, 1e-9)


def _frames_per_turn_s(turns_ns: npt.NDArray[np.int64]) -> float | None:
    """Frames over the time that the side itself worked; the other side's turns count nowhere."""
    if len(turns_ns) < MIN_SAMPLES_P50:
        return None
    return len(turns_ns) / max(int(turns_ns.sum()) / 1e9, 1e-9)


def _percentile_ms(sorted_ns: npt.NDArray[np.int64], share: float, min_samples: int) -> float | None:
    """Nearest-rank percentile, or None below `min_samples`."""
    if len(sorted_ns) < min_samples:
        return None
    return int(sorted_ns[math.ceil(share * len(sorted_ns)) - 1]) / 1e6
