"""The running view against a fake server whose two models differ in speed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from photofinish.client.ui.page.screen.document import screen_from_state
from photofinish.client.ui.page.split_view import Choice, SplitView
from photofinish.client.ui.words import PageWords
from photofinish.errors import ConfigError
from tests.client.fake_triton import FakeTriton, wait_for
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models

START_S = 60.0


@pytest.fixture
def served() -> Iterator[FakeTriton]:
    with FakeTriton(*toy_models()) as server:
        yield server


def choice(**changes: str) -> Choice:
    values = {"source": "synthetic?width=320&height=180", "baseline": BASELINE, "optimised": OPTIMISED, **changes}
    return Choice(**values)  # type: ignore[arg-type]


def own_children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def done(view: SplitView) -> dict[str, int]:
    return {side: board.frames_done for side, board in view.boards.items()}


def asked(server: FakeTriton) -> dict[str, int]:
    """Requests of each model so far."""
    return {name: sum(request.model_name == name for request in server.requests) for name in (BASELINE, OPTIMISED)}


def test_both_sides_work_and_their_numbers_agree_with_the_server(served: FakeTriton) -> None:
    own_before = own_children()
    shared_before = set(Path("/dev/shm").iterdir())
    with SplitView(served.url, choice()) as view:
        wait_for(lambda: min(done(view).values()) >= 20, START_S)
        before_that = asked(served)
        screen = screen_from_state(view.state(), PageWords("en"))
        asked_by_then = asked(served)
        sides = {side: part["numbers"] for side, part in screen["sides"].items()}
        for side, name, in_flight in (("baseline", BASELINE, 2), ("optimised", OPTIMISED, 4)):
            assert before_that[name] - in_flight <= sides[side]["frames_done"] <= asked_by_then[name]
        assert sides["baseline"]["p50_ms"] >= 120
        assert 25 <= sides["optimised"]["p50_ms"]
        assert screen["numbers"]["fps_ratio"] > 1.5
        assert screen["ratio"]["is_won"]
        assert screen["sides"]["optimised"]["how"] == "ONNX Runtime · FP32 · shared memory"
        assert screen["sides"]["baseline"]["trouble"] == ""
        assert screen["source"].startswith("synthetic")
        assert len(own_children() - own_before) >= 3
    pids = {os.getpid(), *(part["pid"] for part in sides.values())}
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids - {os.getpid()}))
    left = set(Path("/dev/shm").iterdir()) - shared_before
    assert not [path for path in left if any(f"{pid}" in path.name.split("_") for pid in pids)]


def test_a_killed_worker_is_shown_and_comes_back(served: FakeTriton) -> None:
    with SplitView(served.url, choice()) as view:
        wait_for(lambda: min(done(view).values()) >= 5, START_S)
        pid = view.state().sides["optimised"].child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: "SIGKILL" in trouble(view, "optimised"), 60)
        at_kill = done(view)
        wait_for(lambda: done(view)["optimised"] > at_kill["optimised"] + 5, START_S)
        assert trouble(view, "optimised") == ""
        assert done(view)["baseline"] > at_kill["baseline"], "the other side went on meanwhile"


def told_across(view: SplitView) -> str:
    return str(screen_from_state(view.state(), PageWords("en"))["trouble"])


def trouble(view: SplitView, side: str) -> str:
    return str(screen_from_state(view.state(), PageWords("en"))["sides"][side]["trouble"])


def test_a_server_that_went_away_is_named_on_both_sides() -> None:
    with FakeTriton(*toy_models()) as server, SplitView(server.url, choice()) as view:
        wait_for(lambda: min(done(view).values()) >= 5, START_S)
        server.vanish()
        for side in view.boards:
            wait_for(lambda side=side: server.url in trouble(view, side), 60)  # type: ignore[misc]


def test_a_source_that_is_missing_is_named_and_another_can_be_chosen(served: FakeTriton) -> None:
    with SplitView(served.url, choice(source="/nowhere/clip.mp4")) as view:
        wait_for(lambda: "/nowhere/clip.mp4 does not exist" in told_across(view), START_S)
        assert trouble(view, "baseline") == trouble(view, "optimised") == "", "it is told once"
        assert view.state().source.state == "stopped", "no waiting brings a file back"
        view.choose(choice(pace="camera"))
        wait_for(lambda: min(done(view).values()) >= 5, START_S)
        assert screen_from_state(view.state(), PageWords("en"))["source"].endswith("30 frames per second")


def test_while_something_is_measured_no_other_variant_is_loaded(served: FakeTriton) -> None:
    with SplitView(served.url, choice()) as view, view.paused():
        with pytest.raises(ConfigError, match="A measurement runs"):
            view.choose(choice(optimised="toy_trt_fp16"))
        view.choose(choice(pace="camera"))
        assert view.choice.pace == "camera"
        assert view.state().is_paused
        with pytest.raises(ConfigError, match="A measurement or a race runs"), view.paused():
            pass
        assert view.state().is_paused, "who is refused ends nobody else's"


def test_an_unknown_variant_is_named(served: FakeTriton) -> None:
    with SplitView(served.url, choice(optimised="toy_trt_fp16")) as view:
        wait_for(lambda: "toy_trt_fp16" in trouble(view, "optimised"), START_S)
        wait_for(lambda: done(view)["baseline"] >= 5, START_S)


def test_a_refused_shared_memory_is_announced() -> None:
    with FakeTriton(*toy_models(), refuse_shared_memory=True) as server, SplitView(server.url, choice()) as view:
        wait_for(lambda: done(view)["optimised"] >= 5, START_S)
        screen = screen_from_state(view.state(), PageWords("en"))
        assert screen["sides"]["optimised"]["how"].endswith("gRPC")
        assert any(warning.startswith("Optimised: ") for warning in screen["warnings"])


def test_closing_is_quick(served: FakeTriton) -> None:
    with SplitView(served.url, choice()) as view:
        wait_for(lambda: min(done(view).values()) >= 5, START_S)
        began = time.monotonic()
    assert time.monotonic() - began < 8


def test_a_source_that_no_file_can_be_called_is_no_replay() -> None:
    """The page asks for the pace in every refresh: a name that the system refuses must not break it."""
    assert choice(source="x" * 5000).is_paced
    assert not choice().is_paced


@pytest.mark.parametrize(
    ("source", "pace", "source_pace"),
    [
        ("synthetic", "free", "free"),
        ("synthetic", "camera", "camera"),
        ("http://host/recording.mp4", "free", "camera"),
        ("rtsp://admin:hunter2@cam/1", "free", "camera"),
    ],
)
def test_the_source_comes_as_both_sides_expect_it(source: str, pace: str, source_pace: str) -> None:
    chosen = choice(source=source, pace=pace)
    assert chosen.source_pace == source_pace
    assert "hunter2" not in repr(chosen)


def test_start_pressed_while_the_view_closes_starts_nothing(served: FakeTriton) -> None:
    before = own_children()
    with SplitView(served.url, choice()) as view:
        pass
    view.choose(choice(pace="camera"))
    started = own_children() - before
    view._stop_children()
    assert not started
