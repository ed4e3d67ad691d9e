"""The race's routes: one race at a time, files for whoever asks, words for a wrong question."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from photofinish.client.ui.owner import Owner
from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.client.ui.race import desk as desk_module
from photofinish.client.ui.race.desk import RaceDesk, Tell
from photofinish.client.ui.race.panel import add_race_routes, race_alone
from photofinish.client.ui.race.replay import Race
from photofinish.client.ui.words import WordedError
from photofinish.errors import ServerUnavailableError
from tests.client.fake_triton import wait_for
from tests.client.ui.race.races import build_race, lane


@pytest.fixture
def go_on() -> threading.Event:
    return threading.Event()


@pytest.fixture
def asked(go_on: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(desk_module, "HEIGHTS", {"wide": 180, "tall": 320})

    def racer(seconds: float, tell: Tell) -> Race:
        go_on.wait(60)
        return build_race(lanes={"baseline": lane(20, 10), "optimised": lane(10, 10)}, finish=10)

    app = FastAPI()
    with RaceDesk(racer, threading.Event()) as desk, TestClient(app) as client:
        add_race_routes(app, desk, Owner(is_public=False))
        yield client


def test_a_race_whose_server_ended_says_that_it_is_started_again() -> None:
    """What its client says, `photofinish serve`, is nothing that anybody has to do in a demo."""

    def racer(*given: object) -> Race:
        raise ServerUnavailableError("no answer from 127.0.0.1:8001; start a server with `photofinish serve`")

    for is_recovering, error in ((True, WordedError), (False, ServerUnavailableError)):
        view = SimpleNamespace(
            paused=lambda stop: nullcontext(), is_server_recovering=lambda found=is_recovering: found
        )
        with pytest.raises(error):
            race_alone(SimpleNamespace(view=view, stop=threading.Event()), racer, 1.0, print)  # type: ignore[arg-type]


def test_before_the_first_race_there_is_nothing_to_see(asked: TestClient) -> None:
    for path in ("replay.mp4", "last.jpg"):
        answer = asked.get(f"/race/{path}")
        assert (answer.status_code, answer.json()) == (404, {"error": "there was no race yet"})
    assert asked.get("/race/state").json()["race"] == 0


@pytest.mark.parametrize(
    "path",
    ["state?language=xx", "replay.mp4?layout=../../etc/passwd", "last.jpg?layout=huge", "replay.mp4?language=..%2F"],
)
def test_a_wrong_question_is_refused(asked: TestClient, path: str) -> None:
    assert asked.get(f"/race/{path}").status_code == 422


@pytest.mark.parametrize("seconds", ["0", "-1", "1e9", "nan", "x"])
def test_a_race_has_a_length(asked: TestClient, seconds: str) -> None:
    assert asked.post(f"/race/start?seconds={seconds}").status_code == 422


def test_a_race_is_run_once_and_its_files_are_given_in_parts(asked: TestClient, go_on: threading.Event) -> None:
    assert asked.post("/race/start").status_code == 202
    assert asked.post("/race/start").status_code == 409, "one at a time"
    assert asked.get("/race/state").json()["is_running"]
    go_on.set()
    wait_for(lambda: not asked.get("/race/state").json()["is_running"], 60)
    said = asked.get("/race/state?language=zh").json()["said"]
    assert said[0] == "优化侧胜出，领先 0.10 秒、5 帧"
    whole = asked.get("/race/replay.mp4?language=zh&layout=tall")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    part = asked.get("/race/replay.mp4?language=zh&layout=tall", headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole.content[4:12]), "Safari plays nothing else"
    assert asked.get("/race/last.jpg").content[:2] == b"\xff\xd8"


def test_while_something_is_measured_no_replay_is_drawn_and_a_drawn_one_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk_module, "HEIGHTS", {"wide": 180, "tall": 320})
    app, use = FastAPI(), MachineUse()
    desk = RaceDesk(lambda seconds, tell: build_race(), threading.Event(), use.beside)
    with desk, TestClient(app) as client:
        add_race_routes(app, desk, Owner(is_public=False))
        assert client.post("/race/start").status_code == 202
        wait_for(lambda: desk.last is not None, 60)
        assert client.get("/race/last.jpg").status_code == 200
        with use.alone():
            refused = client.get("/race/replay.mp4")
            assert (refused.status_code, refused.json()["word"]) == (503, "page.reserved.measuring")
            assert client.get("/race/last.jpg?language=zh").status_code == 503
            assert client.get("/race/last.jpg").status_code == 200


def test_many_who_ask_at_once_wait_for_one_drawing(go_on: threading.Event) -> None:
    drawn = []

    class Counting(RaceDesk):
        def still(self, *args: object) -> None:
            drawn.append(args)
            go_on.wait(60)

    app = FastAPI()
    desk = Counting(lambda seconds, tell: build_race(), threading.Event())
    add_race_routes(app, desk, Owner(is_public=False))
    route = next(route for route in app.routes if getattr(route, "path", "") == "/race/last.jpg")

    async def ask() -> int:
        answers = [asyncio.create_task(route.endpoint(language="en", layout="wide")) for _ in range(50)]  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        go_on.set()
        return len(await asyncio.gather(*answers))

    assert asyncio.run(ask()) == 50
    assert len(drawn) == 1


def test_on_a_shared_page_only_the_owner_starts_a_race() -> None:
    app, owner = FastAPI(), Owner(is_public=True)
    with RaceDesk(lambda seconds, tell: build_race(), threading.Event()) as desk, TestClient(app) as client:
        add_race_routes(app, desk, owner)
        assert client.post("/race/start").status_code == 403
        assert not client.get("/race/state").json()["may_start"]
        assert not desk.is_running
        assert client.post("/race/start", headers={"X-Photofinish-Owner": owner.key}).status_code == 202
