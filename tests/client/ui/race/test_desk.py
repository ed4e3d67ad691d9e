"""One race at a time, its progress, its files."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from photofinish.client.ui.race import desk as desk_module
from photofinish.client.ui.race.desk import RaceDesk, RaceProgress, Tell
from photofinish.client.ui.race.replay import Race
from photofinish.errors import ConfigError
from tests.client.fake_triton import wait_for
from tests.client.ui.race.races import build_race


class HeldRacer:
    """A racer that goes on when it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.failure: Exception | None = None
        self.seconds: list[float] = []

    def __call__(self, seconds: float, tell: Tell) -> Race:
        self.seconds.append(seconds)
        tell(RaceProgress(stage="round", number=2, rounds=10, share=0.1))
        while not self.go_on.wait(0.01):
            tell(RaceProgress(stage="round", number=2, rounds=10, share=0.1))
        if self.failure is not None:
            raise self.failure
        return build_race()


@pytest.fixture
def racer() -> HeldRacer:
    return HeldRacer()


@pytest.fixture
def desk(racer: HeldRacer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RaceDesk]:
    monkeypatch.setattr(desk_module, "HEIGHTS", {"wide": 180, "tall": 320})
    with RaceDesk(racer, threading.Event()) as opened:
        yield opened


def test_one_race_at_a_time(desk: RaceDesk, racer: HeldRacer) -> None:
    assert desk.state("en")["race"] == 0
    assert desk.video("en", "wide") is desk.still("zh", "tall") is None
    assert desk.start(10)
    wait_for(lambda: desk.state("en")["stage"] == "Round 2 of 10", 60)
    assert not desk.start(10), "another one runs"
    assert desk.state("zh")["stage"] == "第 2 轮，共 10 轮"
    assert desk.state("en")["share"] == pytest.approx(0.1)
    racer.go_on.set()
    wait_for(lambda: not desk.is_running, 60)
    state = desk.state("en")
    assert (state["race"], state["failure"], state["is_void"]) == (1, "", False)
    assert state["said"][0] == "Optimised wins by 3.75 s and 38 frames"
    assert racer.seconds == [10]


def test_files_are_drawn_once_and_go_with_the_next_race(desk: RaceDesk, racer: HeldRacer) -> None:
    racer.go_on.set()
    for number in (1, 2):
        desk.start(1)
        wait_for(lambda: not desk.is_running, 60)
        path = desk.still("en", "tall")
        assert path is not None
        assert path.name == f"race-{number}-tall-en.jpg"
        written = path.stat().st_mtime_ns
        assert desk.still("en", "tall") == path
        assert path.stat().st_mtime_ns == written
        assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_failure_is_told_and_the_last_race_stays(desk: RaceDesk, racer: HeldRacer) -> None:
    racer.go_on.set()
    desk.start(1)
    wait_for(lambda: not desk.is_running, 60)
    for failure in (ConfigError("the camera is gone"), ZeroDivisionError("by us")):
        racer.failure = failure
        desk.start(1)
        wait_for(lambda: not desk.is_running, 60)
        state = desk.state("en")
        assert state["failure"] == f"The race could not be run: {failure}"
        assert state["race"] == 1


def test_closing_ends_the_race_that_runs(racer: HeldRacer) -> None:
    with RaceDesk(racer, threading.Event()) as desk:
        desk.start(1)
        wait_for(lambda: desk.is_running, 60)
    assert not desk.is_running
    assert desk.state("en")["failure"] == ""
    assert not desk.start(1), "the page has closed"
