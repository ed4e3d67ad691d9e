"""What casts doubt on latencies: a harness that costs too much, a sender that was late, a drift beyond the scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from photofinish.percentiles import nearest_rank
from photofinish.perf.record.record import Block
from photofinish.perf.record.samples import NS_PER_MS, Samples
from photofinish.perf.statistics import student_t_quantile

MAX_OVERHEAD_NS = 100_000
"""P95 of the harness's own time per request above which its figures are in doubt."""
MAX_OVERHEAD_SHARE = 0.02
"""Of the median latency, where that is more."""
DRIFT_CONFIDENCE = 0.95
"""How sure a drift must be, over all arms of a section together, before it counts as one."""
MIN_HALF_SAMPLES = 20


def late_percentiles_ns(blocks: Sequence[Samples]) -> tuple[float, float]:
    """P95 and P99 of how late the harness sent requests for which a sender stood ready, of all blocks together."""
    late_ns = _pooled([samples.sender_late_ns for samples in blocks])
    return (nearest_rank(late_ns, 0.95), nearest_rank(late_ns, 0.99)) if len(late_ns) else (0.0, 0.0)


def is_sender_late(blocks: Sequence[Samples]) -> bool:
    """Whether the harness sent one arm's requests so late that its figures are in doubt.

    P95 of the lateness may be MAX_OVERHEAD_SHARE of the median latency, or MAX_OVERHEAD_NS; P99 a tenth of it, or 1 ms.
    What these requests show themselves counts, and not a rehearsal without a server.
    """
    latency_ns = _pooled([samples.latency_ns for samples in blocks])
    if not len(latency_ns):
        return False
    p95_ns, p99_ns = late_percentiles_ns(blocks)
    median_ns = nearest_rank(latency_ns, 0.5)
    return p95_ns > max(MAX_OVERHEAD_NS, MAX_OVERHEAD_SHARE * median_ns) or p99_ns > max(NS_PER_MS, 0.1 * median_ns)


def drift_of(blocks: Sequence[Block], *, against: Sequence[Block] = (), families: int = 1) -> float | None:
    """By which share the median of a block changed from the earlier half of the rounds to the later, if it surely did.

    against: the blocks of another arm in the same rounds; then it is the ratio of both medians that may have changed,
    and a machine that becomes slower for both alike shows none. None where a half is too small to tell, or where blocks
    of one half differ among themselves as much as the halves do (Student's t on the logarithms, at DRIFT_CONFIDENCE
    over all `families` arms together). Without this a machine whose blocks scatter by 8 % would show a "drift" of over
    10 % in one of ten arms most of the time.
    """
    others = {block.round: block for block in against}
    pairs = [(block, others.get(block.round)) for block in blocks if not against or block.round in others]
    middle = len(pairs) // 2
    halves = [pairs[:middle], pairs[middle:]]
    if middle < 2 or not all(_samples_in(side) >= MIN_HALF_SAMPLES for side in halves):
        return None
    first, second = (np.array([_log_level(*pair) for pair in side if _is_measured(*pair)]) for side in halves)
    degrees = len(first) + len(second) - 2
    if min(len(first), len(second)) < 2:
        return None
    pooled = (np.var(first) * len(first) + np.var(second) * len(second)) / degrees
    error = math.sqrt(pooled * (1 / len(first) + 1 / len(second)))
    change = float(second.mean() - first.mean())
    sure = abs(change) > student_t_quantile(1 - (1 - DRIFT_CONFIDENCE) / (2 * families), degrees) * error
    return math.expm1(change) if sure else None


def _pooled(values: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(values) if values else np.empty(0, np.int64)


def _samples_in(side: Sequence[tuple[Block, Block | None]]) -> int:
    return sum(min(len(block.samples.latency_ns) for block in pair if block is not None) for pair in side)


def _is_measured(block: Block, other: Block | None) -> bool:
    return bool(len(block.samples.latency_ns)) and (other is None or bool(len(other.samples.latency_ns)))


def _log_level(block: Block, other: Block | None) -> float:
    level = math.log(nearest_rank(block.samples.latency_ns, 0.5))
    return level if other is None else level - math.log(nearest_rank(other.samples.latency_ns, 0.5))
