"""What the harness itself costs: the same load on a sender that does nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photofinish.percentiles import nearest_rank
from photofinish.perf.load.loops import arrival_offsets, run_closed_loop, run_open_loop
from photofinish.perf.record.samples import NS_PER_MS, Samples

MAX_OVERHEAD_NS = 100_000
"""P95 of the harness's own time per request above which its figures are in doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessOverhead:
    """P95 of scheduled-to-received with a null sender, in nanoseconds."""

    closed_loop_p95_ns: int
    open_loop_p95_ns: int

    @property
    def is_small(self) -> bool:
        """Whether both stay within the limit."""
        return max(self.closed_loop_p95_ns, self.open_loop_p95_ns) <= MAX_OVERHEAD_NS


def measure_harness(*, rate_rps: float = 200.0, seconds: float = 1.0) -> HarnessOverhead:
    """The overhead of both kinds of load on this machine, now."""
    closed = run_closed_loop(_send_nothing, seconds=seconds, requests=5000)
    offsets = arrival_offsets("paced", rate_rps=rate_rps, seconds=seconds)
    opened = run_open_loop(_send_nothing, offsets, max_in_flight=8)
    return HarnessOverhead(
        closed_loop_p95_ns=int(nearest_rank(closed.latency_ns, 0.95)),
        open_loop_p95_ns=int(nearest_rank(opened.latency_ns, 0.95)),
    )


def is_sender_late(samples: Samples) -> bool:
    """Whether the harness sent so late that the run is void.

    P99 of the lateness of requests for which a sender stood ready may be a tenth of the median latency, or 1 ms.
    """
    late_ns, latency_ns = samples.sender_late_ns, samples.latency_ns
    if not len(late_ns) or not len(latency_ns):
        return False
    return nearest_rank(late_ns, 0.99) > max(NS_PER_MS, 0.1 * float(np.median(latency_ns)))


def _send_nothing(index: int) -> None:
    """Return at once."""
