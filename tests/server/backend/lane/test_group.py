"""A lane that is closed while the process goes on, and an error that is the end of all models in a process."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from photofinish.server.backend.lane import group
from photofinish.server.backend.lane.account import Account
from photofinish.server.backend.lane.group import LaneClosedError, PlaceLane
from tests.server.backend.test_batches import build_model


@pytest.fixture
def lane() -> Iterator[PlaceLane]:
    file = os.memfd_create("photofinish_lane")
    yield PlaceLane(file, build_model())
    os.close(file)


@pytest.mark.parametrize("is_waiting", [True, False])
def test_a_wait_ends_when_the_bridge_hangs_up(lane: PlaceLane, is_waiting: bool) -> None:
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(LaneClosedError):
            lane.wait()
        ended.set()

    waiter = threading.Thread(target=wait)
    if is_waiting:
        waiter.start()
    lane.hang_up()
    if not is_waiting:
        waiter.start()
    assert ended.wait(60)
    waiter.join()


def test_a_closed_lane_leaves_no_mapping(lane: PlaceLane) -> None:
    def is_mapped() -> bool:
        return f"{lane.address:x}-" in Path("/proc/self/maps").read_text()

    assert is_mapped()
    lane.close()
    assert not is_mapped()


@pytest.mark.parametrize("is_broken", [True, False])
def test_an_error_that_broke_the_context_ends_the_process(
    lane: PlaceLane, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    """The next process can answer; this one would fail on every request of every model."""
    ended: list[int] = []
    monkeypatch.setattr(group.os, "_exit", ended.append)
    monkeypatch.setattr(group.LaneEnd, "answer", lambda self, results, *times: None)
    lane.is_broken = lambda: is_broken
    lane.answer([[np.zeros(4)]])
    assert ended == []
    lane.answer([[np.zeros(4)], RuntimeError("an illegal memory access")])
    assert ended == [1] * is_broken


def test_what_was_loaded_for_nobody_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bridge gave up while the model was loaded: nothing of it counts, and the process goes on."""
    bridge, place = socket.socketpair()
    words = b"model_instance_name\0toy_0\0"
    bridge.sendall(struct.pack("I", len(words)) + words)
    account = Account()

    def load(place: socket.socket, arguments: dict[str, str], memory_file: int, **_: object) -> None:
        account.prepare(arguments["model_instance_name"], build_model())
        account.figures(build_model(), 0)
        bridge.close()
        group.send_lines(place, ["memory"])

    monkeypatch.setattr(group, "load", load)
    group._hold(place, os.memfd_create("photofinish_lane"), account)
    assert account._shares == {}
    assert place.fileno() == -1
