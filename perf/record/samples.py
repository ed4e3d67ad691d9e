"""What a load run recorded: one entry per request, nothing averaged, nothing clipped."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The requests of one block, in the order they were due. Times are nanoseconds since the block began.

    scheduled_ns: when the request was due. sent_ns: when the sender was called. done_ns: when its result was there.
    failed: indices of requests that ended in an error; they stand beside the latencies, never in them.
    backlogged: indices of requests that were due while every sender was still busy.
    error_counts: how often each kind of error came. window_ns: the length of the window throughput is taken over.
    frames_per_request: images in one request.
    """

    scheduled_ns: tuple[int, ...]
    sent_ns: tuple[int, ...]
    done_ns: tuple[int, ...]
    window_ns: int
    failed: tuple[int, ...] = ()
    backlogged: tuple[int, ...] = ()
    error_counts: dict[str, int] = field(default_factory=dict)
    frames_per_request: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError unless every request has all three times, and all that are named were sent."""
        counts = {len(self.scheduled_ns), len(self.sent_ns), len(self.done_ns)}
        if len(counts) != 1 or self.window_ns < min(self.request_count, 1):
            raise ValueError(f"samples need three times per request and a window, got {sorted(counts)} times")
        for name, indices in (("failed", self.failed), ("backlogged", self.backlogged)):
            if len(set(indices)) < len(indices) or not set(indices) <= set(range(self.request_count)):
                raise ValueError(f"{name} must name requests of {self.request_count} once each, got {indices!r:.60}")

    @property
    def request_count(self) -> int:
        """All requests, failed ones too."""
        return len(self.done_ns)

    @property
    def completed_count(self) -> int:
        """Requests that brought a result."""
        return self.request_count - len(self.failed)

    @property
    def latency_ns(self) -> npt.NDArray[np.int64]:
        """Scheduled to received, of the completed requests: (n,) int64."""
        return self._completed(_difference(self.done_ns, self.scheduled_ns))

    @property
    def send_to_done_ns(self) -> npt.NDArray[np.int64]:
        """Sent to received, of the completed requests: what a load generator without a schedule would report."""
        return self._completed(_difference(self.done_ns, self.sent_ns))

    @property
    def sender_late_ns(self) -> npt.NDArray[np.int64]:
        """How late the harness itself sent requests for which a sender stood ready: (n,) int64."""
        late = _difference(self.sent_ns, self.scheduled_ns)
        return np.delete(late, np.array(self.backlogged, np.intp))

    @property
    def frames_per_s(self) -> float:
        """Completed images per second of the window; 0 for an empty one."""
        return self.completed_count * self.frames_per_request * NS_PER_S / self.window_ns if self.window_ns else 0.0

    @property
    def is_possible(self) -> bool:
        """Whether every request was due before it was sent, sent before it was done, and done within the window."""
        in_order = np.all(_difference(self.sent_ns, self.scheduled_ns) >= 0)
        return bool(in_order and np.all(_difference(self.done_ns, self.sent_ns) >= 0)) and self.window_ns >= max(
            self.done_ns, default=0
        )

    def _completed(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.delete(values, np.array(self.failed, np.intp))


def _difference(later: tuple[int, ...], earlier: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.array(later, np.int64) - np.array(earlier, np.int64)
