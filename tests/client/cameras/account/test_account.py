"""The account of a camera adds up, and says so when it does not."""

from __future__ import annotations

import pytest

from photofinish.client.cameras.account.account import AccountError, CameraAccount, require_sum
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import DropCount


def test_every_due_frame_has_one_outcome() -> None:
    account = CameraAccount("door")
    assert account.open_up_to(4) == range(4)
    assert account.open_up_to(3) == range(4, 4)
    account.close_inferred(1)
    account.close_dropped(0, CameraDropCause.STALLED)
    assert account.pending == (2, 3)
    count = account.count()
    assert (count.due, count.inferred, count.dropped_total, count.pending) == (4, 1, 1, 2)
    assert account.close_all(CameraDropCause.STOPPED) == 2
    assert account.count().dropped == {CameraDropCause.STALLED: 1, CameraDropCause.STOPPED: 2}


@pytest.mark.parametrize(("tick", "why"), [(0, "was closed already"), (2, "is not due yet")])
def test_a_frame_cannot_be_counted_twice_or_early(tick: int, why: str) -> None:
    account = CameraAccount("door")
    account.open_up_to(2)
    account.close_inferred(0)
    with pytest.raises(AccountError, match=f"camera door: frame {tick} {why}; this is a bug"):
        account.close_dropped(tick, CameraDropCause.TOO_OLD)


def test_a_sum_that_does_not_hold_is_told() -> None:
    with pytest.raises(AccountError, match="5 frames were due, but 1 inferred"):
        require_sum("door", DropCount(due=5, inferred=1, dropped={CameraDropCause.STALLED: 1}, pending=2))
