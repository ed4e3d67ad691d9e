"""Turns: equal time, no turn held by the dead, figures that the other side does not touch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import grpc
import numpy as np
import pytest
from prometheus_client import generate_latest

from photofinish.client.ui.page.metrics import registry_of_boards
from photofinish.client.ui.page.screen.document import screen_from_state
from photofinish.client.ui.page.split_view import Choice, SplitView
from photofinish.client.ui.processes.board import Board, BoardMemory, numbers_from_board
from photofinish.client.ui.processes.child import ChildLink, SupervisedChild
from photofinish.client.ui.processes.shelf import ServedShelf
from photofinish.client.ui.processes.side import PAINT_S
from photofinish.client.ui.processes.turns import TurnKeeper, TurnRequest, TurnSeat, TurnTaker
from photofinish.client.ui.words import PageWords
from photofinish.machine.processor import usable_cores
from tests.builders import cores_of_threads
from tests.client.fake_triton import FakeTriton, wait_for
from tests.client.ui.served import BASELINE, OPTIMISED, slow_answer, toy_models

SECOND = 1_000_000_000
MS = 1_000_000
START_S = 60.0
RECOVERY_S = 15.0
"""A side whose request failed is back, its process started again; 1 to 3 s on a quiet machine."""


class Table:
    """A keeper with a clock that the test moves, and the turns it gave."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.given: list[str] = []
        self.keeper = TurnKeeper(limit_ns=SECOND, clock=lambda: self.now_ns)

    def ask(self, side: str) -> None:
        self.keeper.hear(side, TurnRequest(), lambda: self.given.append(side))

    def end_turn(self, side: str, spent_ns: int, *, asks: bool = True) -> None:
        self.now_ns += spent_ns
        self.keeper.hear(side, TurnRequest(spent_ns=spent_ns, asks=asks), lambda: self.given.append(side))


def test_both_sides_get_equal_time_and_not_equal_frames() -> None:
    table = Table()
    cost_ns = {"slow": 90 * MS, "fast": 30 * MS}
    for side in cost_ns:
        table.ask(side)
    for turn in range(400):
        table.end_turn(table.given[turn], cost_ns[table.given[turn]])
    worked_ns = {side: table.given.count(side) * cost for side, cost in cost_ns.items()}
    assert abs(worked_ns["slow"] - worked_ns["fast"]) <= 2 * 90 * MS
    assert table.given.count("fast") == pytest.approx(3 * table.given.count("slow"), abs=4)


def test_one_turn_at_a_time_and_one_grant_per_request() -> None:
    table = Table()
    for side in ("a", "b", "b", "a", "b"):
        table.ask(side)
    assert table.given == ["a"]
    table.end_turn("a", 10 * MS, asks=False)
    assert table.given == ["a", "b"]


def test_a_side_that_does_not_wait_keeps_nobody_waiting() -> None:
    table = Table()
    table.ask("a")
    table.end_turn("a", 10 * MS, asks=False)
    table.ask("b")
    for _ in range(5):
        table.end_turn("b", 10 * MS)
    assert table.given == ["a"] + ["b"] * 6


def test_a_side_that_left_loses_its_turn_and_its_place() -> None:
    table = Table()
    table.ask("a")
    table.ask("b")
    table.keeper.leave("a")
    assert table.given == ["a", "b"]
    table.ask("a")
    table.keeper.leave("a")
    table.end_turn("b", 10 * MS, asks=False)
    assert table.given == ["a", "b"]


def test_a_side_that_comes_back_does_not_make_up_for_its_absence() -> None:
    table = Table()
    table.ask("a")
    table.ask("b")
    table.keeper.leave("b")
    for _ in range(100):
        table.end_turn("a", 100 * MS)
    table.ask("b")
    before = len(table.given)
    for _ in range(20):
        table.end_turn(table.given[-1], 100 * MS)
    assert 8 <= table.given[before:].count("a") <= 12


def test_a_side_that_hangs_loses_its_turn_after_the_limit() -> None:
    table = Table()
    table.ask("hangs")
    table.ask("works")
    table.now_ns += SECOND - 1
    table.ask("works")
    assert table.given == ["hangs"]
    table.now_ns += 1
    table.ask("works")
    assert table.given == ["hangs", "works"]
    table.end_turn("works", 10 * MS)
    assert table.given == ["hangs", "works", "works"]


def test_a_hang_is_charged_as_the_limit_and_no_more() -> None:
    table = Table()
    table.ask("hung")
    table.ask("works")
    table.end_turn("hung", 60 * SECOND)
    for _ in range(12):
        table.end_turn(table.given[-1], 100 * MS)
    assert "hung" in table.given[2:]


def take_turns(link: ChildLink) -> None:
    turns = TurnTaker(link)
    while turns.take():
        link.report_running(turn=True)
        time.sleep(0.002)
        turns.give_back(2 * MS, asks=True)


def hold_the_turn(link: ChildLink) -> None:
    TurnTaker(link).take()
    link.report_running(turn=True)
    time.sleep(60)


def wait_for_a_turn(link: ChildLink) -> None:
    link.report_waiting("its turn")
    TurnTaker(link).take()


def test_a_killed_process_does_not_hold_the_turn() -> None:
    keeper = TurnKeeper(limit_ns=600 * SECOND)
    with SupervisedChild("holder", hold_the_turn, requests=TurnSeat(keeper, "holder")) as holder:
        wait_for(lambda: holder.status.facts.get("turn"), START_S)
        with SupervisedChild("waiter", take_turns, requests=TurnSeat(keeper, "waiter")) as waiter:
            wait_for(lambda: waiter.status.pid is not None, START_S)
            assert holder.status.pid is not None
            os.kill(holder.status.pid, signal.SIGKILL)
            wait_for(lambda: waiter.status.facts.get("turn"), START_S)


def test_a_side_that_waits_for_its_turn_stops_at_once() -> None:
    keeper = TurnKeeper(limit_ns=600 * SECOND)
    keeper.hear("other", TurnRequest(), lambda: None)
    with SupervisedChild("waiter", wait_for_a_turn, requests=TurnSeat(keeper, "waiter"), grace_s=60.0) as waiter:
        wait_for(lambda: waiter.status.message == "its turn", START_S)
        began = time.monotonic()
    assert time.monotonic() - began < 30, "it was asked to end, not ended after its time of grace"


def test_rates_count_own_turns_only() -> None:
    board = Board(BoardMemory())
    for number in range(140):
        board.record(finished_ns=number * 200 * MS, latency_ns=50 * MS, found=0, turn_ns=50 * MS, passed=3, dropped=1)
    now_ns = 140 * 200 * MS
    numbers = numbers_from_board(board, now_ns)
    assert numbers.frames_per_s == pytest.approx(20.0)
    assert (numbers.p50_ms, numbers.p95_ms) == (50.0, 50.0)
    assert (numbers.frames_dropped, numbers.frames_passed) == (140, 420)
    assert numbers_from_board(board, now_ns, offered_per_s=15.0).frames_per_s == 15.0


def test_the_camera_bounds_no_rate_that_was_seen() -> None:
    board = Board(BoardMemory())
    for number in range(40):
        board.record(finished_ns=number * 50 * MS, latency_ns=MS, found=0)
    rate = numbers_from_board(board, 40 * 50 * MS, offered_per_s=5.0).frames_per_s
    assert rate == pytest.approx(20, rel=0.05)


@pytest.fixture
def served() -> Iterator[FakeTriton]:
    with FakeTriton(*toy_models()) as server:
        yield server


def choice(**changes: str) -> Choice:
    values = {"source": "synthetic?width=320&height=180", "baseline": BASELINE, "optimised": OPTIMISED, **changes}
    return Choice(**values)  # type: ignore[arg-type]


def done(view: SplitView) -> dict[str, int]:
    return {side: board.frames_done for side, board in view.boards.items()}


def figures(view: SplitView, side: str) -> dict[str, float]:
    return dict(screen_from_state(view.state(), PageWords("en"))["sides"][side]["numbers"])


def test_a_slow_side_does_not_slow_the_other_sides_figure() -> None:
    baseline, optimised = toy_models()
    baseline.infer = slow_answer("OUTPUT__0", 0.5)
    with FakeTriton(baseline, optimised) as server, SplitView(server.url, choice()) as view:
        wait_for(lambda: done(view)["baseline"] >= 5 and done(view)["optimised"] >= 40, START_S)
        fast, slow = figures(view, "optimised"), figures(view, "baseline")
        screen = screen_from_state(view.state(), PageWords("en"))
    assert slow["frames_per_s"] <= 1 / 0.5
    assert fast["p50_ms"] < 250, "25 ms of its own; the other side's 500 ms are not among them"
    assert fast["frames_per_s"] > 1000 / 250
    assert screen["turns"] == PageWords("en")("page.turns")
    assert screen["footnote"].startswith("One side works at a time on one server.")


def test_the_server_never_has_two_requests_at_once_and_both_sides_get_the_same_time(served: FakeTriton) -> None:
    with SplitView(served.url, choice()) as view:
        wait_for(lambda: min(done(view).values()) >= 5, START_S)
        at, begin_ns = done(view), time.perf_counter_ns()
        wait_for(lambda: done(view)["baseline"] >= at["baseline"] + 15, START_S)
        elapsed_s = (time.perf_counter_ns() - begin_ns) / 1e9
        turns_ns = {side: board.samples_since(begin_ns)["turn_ns"] for side, board in view.boards.items()}
        worked_s = {side: float(found.sum()) / 1e9 for side, found in turns_ns.items()}
    assert sum(worked_s.values()) < 1.1 * elapsed_s, "one side at a time"
    assert worked_s["optimised"] == pytest.approx(worked_s["baseline"], rel=0.25)


def test_a_browser_has_time_to_paint_between_turns(served: FakeTriton) -> None:
    with SplitView(served.url, choice()) as view, view.hub.viewing("wide"):
        wait_for(lambda: min(done(view).values()) >= 10, START_S)
        turns = np.sort(np.concatenate([board.samples_since(0) for board in view.boards.values()]), order="finished_ns")
        rate = figures(view, "optimised")["frames_per_s"]
    begun_ns, finished_ns = turns["finished_ns"] - turns["turn_ns"], turns["finished_ns"]
    assert (begun_ns[-10:] - finished_ns[-11:-1]).min() >= PAINT_S * 1e9
    assert rate > 10, "25 ms of its own; the pauses are not among them"


@pytest.mark.parametrize(("turns", "device", "expected"), [("off", "cpu", ""), ("auto", "cuda", "")])
def test_without_turns_both_work_at_once(turns: str, device: str, expected: str) -> None:
    with FakeTriton(*toy_models(device=device)) as server, SplitView(server.url, choice(turns=turns)) as view:
        wait_for(lambda: min(done(view).values()) >= 8, START_S)
        screen = screen_from_state(view.state(), PageWords("en"))
    assert screen["turns"] == expected
    assert screen["footnote"].startswith("Both sides run at once on one server.")
    assert screen["sides"]["baseline"]["drops_label"] == "Done / late"


class TwoGroups(ServedShelf):
    """The fake server's models, as if each had a core of this machine to itself."""

    is_whole = False

    def cores(self, name: str) -> tuple[int, ...]:
        return (max(os.sched_getaffinity(0)) if name == OPTIMISED else min(os.sched_getaffinity(0)),)

    @contextmanager
    def all_cores(self) -> Iterator[None]:
        self.is_whole = True
        yield
        self.is_whole = False


def test_with_a_core_group_each_both_work_at_once_on_their_own_cores(served: FakeTriton) -> None:
    shelf = TwoGroups(served.url)
    with SplitView(served.url, choice(), shelf=shelf) as view:
        wait_for(lambda: min(done(view).values()) >= 8, START_S)
        screen = screen_from_state(view.state(), PageWords("en"))
        for side, model in (("baseline", BASELINE), ("optimised", OPTIMISED)):
            pid = view.state().sides[side].child.pid
            assert pid is not None
            assert cores_of_threads(pid) == {frozenset(shelf.cores(model))}
        with view.paused():
            assert shelf.is_whole, "who measures has all cores"
    assert screen["turns"] == PageWords("en")("page.core_groups", cores=1, all=usable_cores())
    assert screen["footnote"].startswith("Both sides run at once on one server.")
    assert not shelf.is_whole


def test_a_side_whose_process_was_killed_lets_the_other_go_on(
    served: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photofinish.client.ui.page.split_view.TurnKeeper", partial(TurnKeeper, limit_ns=SECOND))
    with SplitView(served.url, choice()) as view:
        wait_for(lambda: min(done(view).values()) >= 5, START_S)
        pid = view.state().sides["baseline"].child.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # holds its turn or its place, and says nothing
        try:
            at = done(view)["optimised"]
            wait_for(lambda: done(view)["optimised"] >= at + 20, 60)
        finally:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: done(view)["baseline"] >= 1, START_S)
        at = done(view)["baseline"]
        wait_for(lambda: done(view)["baseline"] >= at + 5, START_S)


def test_at_a_cameras_rate_frames_that_passed_are_told_from_late_ones(served: FakeTriton) -> None:
    with SplitView(served.url, choice(pace="camera")) as view:
        wait_for(lambda: min(done(view).values()) >= 10, START_S)
        baseline = view.boards["baseline"]
        assert baseline.frames_dropped > baseline.frames_done, "120 ms a frame, 33 ms between frames: its own lateness"
        assert baseline.frames_passed > 0
        assert figures(view, "optimised")["frames_per_s"] <= 30.0


@pytest.mark.parametrize("turns", ["on", "off"])
def test_failed_frames_are_counted_and_told(served: FakeTriton, turns: str) -> None:
    with SplitView(served.url, choice(turns=turns)) as view:
        wait_for(lambda: min(done(view).values()) >= 3, START_S)
        assert screen_from_state(view.state(), PageWords("en"))["sides"]["baseline"]["numbers"]["frames_failed"] == 0
        served.failure = (grpc.StatusCode.INTERNAL, "the model broke")
        wait_for(lambda: all(board.frames_failed for board in view.boards.values()), START_S)
        served.failure = None
        begun = time.monotonic()
        at = done(view)
        wait_for(lambda: all(count > at[side] for side, count in done(view).items()), START_S)
        assert time.monotonic() - begun < RECOVERY_S
        sides = screen_from_state(view.state(), PageWords("en"))["sides"]
        metrics = generate_latest(registry_of_boards(view.boards, view.choice.model_name)).decode()
    for side in view.boards:
        assert sides[side]["drops_label"].endswith(" / failed")
        assert sides[side]["dropped"].endswith(f" / {sides[side]['numbers']['frames_failed']}")
        assert f'cause="error",side="{side}"' in metrics
