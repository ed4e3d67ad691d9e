"""The counters a side keeps in shared memory, and the numbers shown beneath its panel."""

from __future__ import annotations

import bisect
import ctypes
import multiprocessing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.pipeline.frame_result import LATENCY_BUCKETS_S
from photofinish.percentiles import carried_percentile, min_samples, missing_samples, nearest_rank

RING_SIZE = 4096
"""Samples kept: 5 s at 800 frames a second."""
WINDOW_FRAMES = 30
"""Rate and P50 are of the newest frames: so many, or all of the window's seconds where these are more."""
WINDOW_S = 5.0
TURNS_WINDOW_S = 10.0
"""The window of sides that take turns: each works half the time at most."""
STILL_S = 60.0
"""A side that finished nothing for so long has no figures."""

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

_DONE, _DROPPED, _PASSED, _FAILED, _NEXT_INDEX, _LATENCY_SUM, _FIRST_BUCKET = range(7)


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
    def frames_failed(self) -> int:
        """Frames that this side took up and gave no result for: their request failed, or the side's process ended."""
        return int(self._words[_FAILED])

    @property
    def next_index(self) -> int:
        """The index behind the last frame that is accounted for, 0 before the first; a new process goes on from it."""
        return int(self._words[_NEXT_INDEX])

    @property
    def latency_sum_s(self) -> float:
        """Sum of all latencies since the start."""
        return int(self._words[_LATENCY_SUM]) / 1e9

    @property
    def latency_bucket_counts(self) -> tuple[int, ...]:
        """Frames since the start in each bucket of LATENCY_BUCKETS_S, not cumulative; the last is above every bound."""
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
        index: int = 0,
    ) -> None:
        """Count one finished frame, the source's number `index`.

        truth: objects in it, NO_TRUTH when nobody knows; matched: those found. turn_ns: how long the side worked on it,
        where sides take turns; 0: they do not.
        """
        self._samples[self.frames_done % RING_SIZE] = (finished_ns, latency_ns, turn_ns, found, truth, matched, 0)
        self._words[_DROPPED] += dropped
        self._words[_PASSED] += passed
        self._words[_NEXT_INDEX] = index + 1
        self._words[_LATENCY_SUM] += latency_ns
        self._words[_FIRST_BUCKET + bisect.bisect_left(LATENCY_BUCKETS_S, latency_ns / 1e9)] += 1
        self._words[_DONE] += 1

    def count_failed(self, count: int = 1) -> None:
        """Count frames that were taken up in vain, behind the last one that is accounted for."""
        self._words[_FAILED] += count
        if self.next_index:
            self._words[_NEXT_INDEX] += count

    def reset(self) -> None:
        """Forget everything; for a new source or variant, while no process records."""
        self._samples["finished_ns"] = 0
        self._words[:] = 0

    def samples_since(self, since_ns: int) -> npt.NDArray[np.void]:
        """The kept samples that finished at or after `since_ns`, oldest first."""
        samples = self.newest_samples()
        recent: npt.NDArray[np.void] = samples[samples["finished_ns"] >= since_ns]
        return recent

    def newest_samples(self, most: int = RING_SIZE) -> npt.NDArray[np.void]:
        """The newest kept samples, at most `most`, oldest first."""
        count = self.frames_done
        kept = min(count, RING_SIZE, most)
        newest: npt.NDArray[np.void] = self._samples[np.arange(count - kept, count) % RING_SIZE]
        return newest


@dataclass(frozen=True, slots=True, kw_only=True)
class SideNumbers:
    """What one side did with its newest frames; None where there is none, or too few for a tail.

    rate_frames, rate_s: what the rate was made of. p95_missing, p99_missing: how many frames more they need.
    """

    frames_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    recall: float | None
    precision: float | None
    frames_done: int
    frames_dropped: int
    frames_passed: int = 0
    frames_failed: int = 0
    p95_missing: int = 0
    p99_ms: float | None = None
    p99_missing: int = 0
    rate_frames: int = 0
    rate_s: float = 0.0


def numbers_from_board(board: Board, now_ns: int, *, offered_per_s: float | None = None) -> SideNumbers:
    """The side's numbers at `now_ns` (perf_counter_ns).

    offered_per_s: the camera's rate, above which no side is said to work when rates come from turns.
    """
    kept = board.newest_samples()
    if len(kept) and now_ns - int(kept["finished_ns"][-1]) > STILL_S * 1e9:
        kept = kept[:0]
    takes_turns = bool(len(kept) and kept["turn_ns"][-1])
    since_ns = now_ns - int((TURNS_WINDOW_S if takes_turns else WINDOW_S) * 1e9)
    in_window = int((kept["finished_ns"] >= since_ns).sum())
    samples = kept[-max(in_window, WINDOW_FRAMES) :]
    frames, seconds = _work_in_turns(samples) if takes_turns else _work_since_first(samples, now_ns)
    rate = frames / max(seconds, 1e-9) if frames else None
    known = samples[samples["truth"] != NO_TRUTH]
    matched, truth, found = (int(known[name].sum()) for name in ("matched", "truth", "found"))
    p95_ms, p95_missing = _tail_ms(kept["latency_ns"], 0.95, in_window)
    p99_ms, p99_missing = _tail_ms(kept["latency_ns"], 0.99, in_window)
    return SideNumbers(
        frames_per_s=min(rate, offered_per_s) if takes_turns and rate and offered_per_s else rate,
        p50_ms=nearest_rank(samples["latency_ns"], 0.5) / 1e6 if len(samples) else None,
        p95_ms=p95_ms,
        p95_missing=p95_missing,
        p99_ms=p99_ms,
        p99_missing=p99_missing,
        recall=matched / truth if truth else None,
        precision=matched / found if found else None,
        frames_done=board.frames_done,
        frames_dropped=board.frames_dropped,
        frames_passed=board.frames_passed,
        frames_failed=board.frames_failed,
        rate_frames=frames,
        rate_s=seconds,
    )


def _work_since_first(samples: npt.NDArray[np.void], now_ns: int) -> tuple[int, float]:
    """Frames after the first and the seconds since it; of one frame its own latency.

    A side that stopped falls towards 0: what it is overdue counts as well.
    """
    if not len(samples):
        return 0, 0.0
    first_ns, last_ns = int(samples["finished_ns"][0]), int(samples["finished_ns"][-1])
    frames = max(len(samples) - 1, 1)
    taken_ns = last_ns - first_ns if len(samples) > 1 else int(samples["latency_ns"][0])
    overdue_ns = max(now_ns - last_ns - 2 * taken_ns / frames, 0)
    return frames, (taken_ns + overdue_ns) / 1e9


def _work_in_turns(samples: npt.NDArray[np.void]) -> tuple[int, float]:
    """Frames, and the seconds that the side itself worked; the other side's turns count nowhere."""
    return len(samples), int(samples["turn_ns"].sum()) / 1e9


def _tail_ms(latencies_ns: npt.NDArray[np.int64], share: float, in_window: int) -> tuple[float | None, int]:
    """The percentile of the window's frames, or of as many of the newest as it needs; and how many it lacks."""
    tail_ns = latencies_ns[-max(in_window, min_samples(share)) :]
    value_ns = carried_percentile(tail_ns, share)
    return None if value_ns is None else value_ns / 1e6, missing_samples(len(tail_ns), share)
