"""What several batches under way have in common: the order of a camera's results, and failures in a row."""

from __future__ import annotations

from collections.abc import Callable

from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.values.outcome import Inferred


class ResultOrder:
    """on_inferred hears of each camera's results in the order in which they were expected: tracks need it.

    A result waits for those before it, which come or are closed within the time that a request may take.
    """

    def __init__(self, on_inferred: Callable[[Inferred], None]) -> None:
        self._on_inferred = on_inferred
        self._expected: dict[CameraSeat, dict[int, Inferred | None]] = {}

    def expect(self, seat: CameraSeat, tick: int) -> None:
        """A picture is sent to the server."""
        self._expected.setdefault(seat, {})[tick] = None

    def tell(self, seat: CameraSeat, tick: int, result: Inferred) -> None:
        """Its boxes are there."""
        self._expected[seat][tick] = result
        self._release(seat)

    def close(self, seat: CameraSeat, tick: int) -> None:
        """Nothing more comes of it; if nothing came, those behind it wait no longer."""
        expected = self._expected.get(seat, {})
        if tick in expected and expected[tick] is None:
            del expected[tick]
            self._release(seat)

    def _release(self, seat: CameraSeat) -> None:
        expected = self._expected[seat]
        while expected:
            tick = next(iter(expected))
            result = expected[tick]
            if result is None:
                return
            del expected[tick]
            self._on_inferred(result)
        del self._expected[seat]


class FailuresInRow:
    """Requests that failed with no answer between them. Those that were under way together count once."""

    def __init__(self) -> None:
        self.count = 0
        self._moment = 0

    def begin(self) -> int:
        """A request begins; what to tell `fail`."""
        return self._moment

    def fail(self, begun: int) -> None:
        """A request failed."""
        if begun == self._moment:
            self.count += 1
            self._moment += 1

    def succeed(self) -> None:
        """A request was answered."""
        self.count = 0
