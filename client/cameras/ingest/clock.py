"""When a picture was taken: by the camera's clock where it is sane, else by its arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from photofinish.client.cameras.rtsp.rtp import SenderReport
from photofinish.client.cameras.values.access_unit import ClockKind, unix_less_monotonic_ns

MAX_DELAY_S = 2.0
"""A camera's clock that makes pictures older than this at their arrival is taken for wrong."""
MAX_FUTURE_S = 0.1
"""So is one that makes them come before they were taken; network clocks differ by less."""
MAX_STEP_S = 0.2
"""Two sender reports that differ by more about the same moment are of a clock that was set, or jumps."""
WINDOW_S = 60
JUMP_S = 10.0
BACK_S = 1.0
"""RTP time that goes back by more was set anew; with reordered pictures it goes back by an interval or two."""
_WRAP = 1 << 32


class CaptureClock:
    """The capture time of each picture of one connection.

    Without a sane sender report it is RTP time, anchored where pictures come earliest in the last 60 s: the network's
    wait is then at least not taken for the camera's. RTP time that stands still, or runs too slowly or backwards, falls
    behind by JUMP_S; the arrival itself is taken until both go alike for as long.
    offset_ms: the camera's clock less ours; None where it tells none.
    """

    def __init__(self, clock_rate: int, unix_offset_ns: Callable[[], int] = unix_less_monotonic_ns) -> None:
        self.offset_ms: float | None = None
        self._rate = clock_rate
        self._unix_offset_ns = unix_offset_ns
        self._last_timestamp: int | None = None
        self._media_ticks = 0
        self._lowest: deque[tuple[int, int]] = deque()
        self._report: tuple[int, int] | None = None
        self._is_steady = True
        self._off: tuple[int, int] | None = None
        """Media time and arrival since RTP time is not trusted."""

    def hear(self, report: SenderReport) -> None:
        """A sender report came."""
        if report.unix_ns <= 0:
            return
        if self._last_timestamp is None:  # it came before the first picture
            self._last_timestamp = report.timestamp
        ticks = self._media_ticks + _signed(report.timestamp - self._last_timestamp)
        zero_ns = report.unix_ns - self._ns(ticks)
        if self._report is not None:
            self._is_steady = abs(zero_ns - self._report[1]) < MAX_STEP_S * 1e9
        self._report = (ticks, zero_ns)

    def place(self, timestamp: int, arrived_ns: int) -> tuple[int, ClockKind]:
        """The capture time in perf_counter_ns of a picture, never after its arrival, and what it is from."""
        if self._last_timestamp is not None:
            step = _signed(timestamp - self._last_timestamp)
            if not -BACK_S * self._rate <= step <= JUMP_S * self._rate:
                self._lowest.clear()
                self._report = None
            self._media_ticks += step
        self._last_timestamp = timestamp
        media_ns = self._ns(self._media_ticks)
        anchored_ns = min(media_ns + self._anchor(arrived_ns - media_ns, arrived_ns), arrived_ns)
        if self._off is not None:
            anchored_ns = arrived_ns
            self._look_again(media_ns, arrived_ns, self._off)
        elif arrived_ns - anchored_ns > JUMP_S * 1e9:
            anchored_ns = arrived_ns
            self._off = media_ns, arrived_ns
        if self._report is None:
            return anchored_ns, "arrival"
        captured_ns = self._report[1] + media_ns - self._unix_offset_ns()
        delay_ns = arrived_ns - captured_ns
        self.offset_ms = -delay_ns / 1e6
        if not self._is_steady or not -MAX_FUTURE_S * 1e9 <= delay_ns <= MAX_DELAY_S * 1e9:
            return anchored_ns, "arrival"
        return min(captured_ns, arrived_ns), "rtcp"

    def _look_again(self, media_ns: int, arrived_ns: int, since: tuple[int, int]) -> None:
        """RTP time that goes as the arrivals do is trusted again: it was the network that held pictures back."""
        passed_ns = arrived_ns - since[1]
        if passed_ns > JUMP_S * 1e9:
            is_sound = abs(media_ns - since[0] - passed_ns) < 0.1 * passed_ns
            self._off = None if is_sound else (media_ns, arrived_ns)
            self._lowest.clear()

    def _ns(self, ticks: int) -> int:
        return ticks * 10**9 // self._rate

    def _anchor(self, difference_ns: int, now_ns: int) -> int:
        """The lowest difference of the last 60 s; one is kept for each second, in rising order."""
        second = now_ns // 10**9
        while self._lowest and self._lowest[0][0] < second - WINDOW_S:
            self._lowest.popleft()
        while self._lowest and self._lowest[-1][1] >= difference_ns:
            self._lowest.pop()
        if not self._lowest or self._lowest[-1][0] != second:
            self._lowest.append((second, difference_ns))
        return self._lowest[0][1]


def _signed(difference: int) -> int:
    """A difference of 32-bit times, whichever of the two is later."""
    return (difference + _WRAP // 2) % _WRAP - _WRAP // 2
