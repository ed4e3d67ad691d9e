"""Latencies of a long run by its quarters, in bounded memory: has the last one become slower?

Backs: docs/cameras.md, "P99 of the last quarter"
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np

from experiments.cameras.running import HeardFrame
from photofinish.percentiles import nearest_rank

QUARTERS = 4
BIN_MS = 0.5


class LatencyQuarters:
    """Latencies from capture to boxes by quarter of the run, as counts of half milliseconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began_s: float | None = None
        self._counts: list[Counter[int]] = [Counter() for _ in range(QUARTERS)]
        self._minute: Counter[int] = Counter()

    def begin(self) -> None:
        """The run begins now; what came before does not count."""
        self._began_s = time.monotonic()

    def add(self, frame: HeardFrame) -> None:
        """A frame came."""
        if self._began_s is None:
            return
        quarter = int((frame.at_s - self._began_s) / self._seconds * QUARTERS)
        if 0 <= quarter < QUARTERS:
            at = int(frame.latency_ms / BIN_MS)
            self._counts[quarter][at] += 1
            self._minute[at] += 1

    def minute(self) -> dict[str, float]:
        """Percentiles of what came since this was asked last; to be read beside the cores that each part used."""
        counts, self._minute = self._minute, Counter()
        return _percentiles(counts)

    def document(self) -> list[dict[str, Any]]:
        """Percentiles of each quarter, by the upper end of a bin, and the counts that they are from."""
        return [_quarter(counts) for counts in self._counts]


def _quarter(counts: Counter[int]) -> dict[str, Any]:
    return {
        "frames": counts.total(),
        **_percentiles(counts),
        "counts_by_bin": {str(key): counts[key] for key in sorted(counts)},
    }


def _percentiles(counts: Counter[int]) -> dict[str, float]:
    if not counts:
        return {}
    values = np.repeat(np.array(sorted(counts), dtype=np.int64), [counts[key] for key in sorted(counts)])
    ends_ms = np.asarray((values + 1) * BIN_MS, dtype=np.float64)
    return {f"p{round(share * 100)}_ms": float(nearest_rank(ends_ms, share)) for share in (0.5, 0.95, 0.99)}


def risen(first: float | None, last: float | None) -> float | None:
    """The last of the first; None where one of them is not known."""
    return last / first if first and last else None
