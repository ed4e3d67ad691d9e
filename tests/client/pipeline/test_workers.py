from __future__ import annotations

import threading
import time

import pytest

from photofinish.client.pipeline.workers import OrderedWorkers
from tests.builders import build_frame
from tests.client.fake_triton import wait_for


def take_from(frames):
    iterator = iter(frames)
    return lambda: next(iterator, None)


def frames_of(count):
    return [build_frame(size_wh=(2, 2), index=index) for index in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_outcomes_keep_the_order_of_the_frames(count):
    def work(frame):
        time.sleep(0.01 if frame.index % 3 == 0 else 0)
        return frame.index

    workers = OrderedWorkers(take_from(frames_of(20)), work, count=count)
    outcomes = [(frame.index, result) for frame, result in workers.outcomes()]
    workers.stop()
    assert workers.join() == []
    assert outcomes == [(index, index) for index in range(20)]


def test_they_work_side_by_side():
    together = threading.Barrier(3, timeout=60)
    workers = OrderedWorkers(take_from(frames_of(3)), lambda frame: together.wait(), count=3)
    assert sorted(result for _, result in workers.outcomes()) == [0, 1, 2]
    workers.stop()
    workers.join()


def test_a_caller_who_does_not_fetch_stops_the_work():
    worked = []
    workers = OrderedWorkers(take_from(frames_of(20)), lambda frame: worked.append(frame.index), count=2)
    wait_for(lambda: len(worked) == 2)
    time.sleep(0.05)
    assert len(worked) == 2
    next(workers.outcomes())
    wait_for(lambda: len(worked) == 3)
    workers.stop()
    assert [frame.index for frame in workers.join()] == [1, 2]


def test_what_the_work_raises_is_the_outcome_of_its_frame():
    def work(frame):
        if frame.index == 1:
            raise ValueError("one")
        return frame.index

    workers = OrderedWorkers(take_from(frames_of(3)), work, count=2)
    outcomes = [outcome for _, outcome in workers.outcomes()]
    workers.stop()
    workers.join()
    assert outcomes[0] == 0
    assert isinstance(outcomes[1], ValueError)
    assert outcomes[2] == 2


def test_what_taking_raises_comes_last_and_has_no_frame():
    def take():
        if taken:
            raise OSError("gone")
        taken.append(1)
        return build_frame()

    taken: list[int] = []
    workers = OrderedWorkers(take, lambda frame: "done", count=3)
    (first, result), (nothing, failure) = workers.outcomes()
    workers.stop()
    workers.join()
    assert (first.index, result) == (0, "done")
    assert nothing is None
    assert isinstance(failure, OSError)
