"""A visitor's video: what is taken, who can fetch what came of it, and that nothing is left."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from photofinish.client.ui.owner import HEADER, Owner
from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.client.ui.page.server import WebServer, open_listener
from photofinish.client.ui.picture import videos
from photofinish.client.ui.picture.bounds import RefusedError
from photofinish.client.ui.picture.video_routes import VIDEOS_PATH, add_video_routes
from photofinish.client.ui.picture.videos import KEPT_S, MAX_VIDEO_BYTES, MOST_JOBS, SILENT_S, VideoDesk, is_container
from photofinish.client.ui.words import WordedError
from tests.client.fake_triton import wait_for

MP4 = b"\0\0\0\x18ftypisom" + bytes(100)


class FakeRun:
    """A command that ends when it is told to; it writes what `detect` would."""

    def __init__(self, words: Sequence[str], *, on_line: Callable[[str], None], memory_bytes: int = 0) -> None:
        self.words = list(words)
        self.on_line = on_line
        self.memory_bytes = memory_bytes
        self.ended = threading.Event()
        self.status = 0
        self.out = Path(self.words[self.words.index("--save") + 1])

    def wait(self, timeout_s: float | None = None) -> int | None:
        return self.status if self.ended.wait(timeout_s) else None

    def stop(self) -> None:
        self.status = 143 if not self.ended.is_set() else self.status
        self.ended.set()

    def why_it_failed(self) -> str:
        return f"{self.out.parent}/video.mp4 is damaged"

    def finish(self, frames: int = 3) -> None:
        self.on_line("toy at 127.0.0.1:1, pictures by grpc, 12 frames to look at")
        for _ in range(frames):
            self.on_line(json.dumps({"detections": [{}, {}]}))
        self.out.mkdir()
        (self.out / "video.mp4").write_bytes(b"annotated")
        (self.out / "video.jsonl").write_text("{}\n")
        self.ended.set()


class Desk:
    """A desk whose commands and clock are the test's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.owner = Owner(is_public=True)
        self.runs: list[FakeRun] = []
        self.use = MachineUse(wait_s=0.01)
        self.desk = VideoDesk(lambda: ("127.0.0.1:1", "toy"), self.use, start=self._start, clock=lambda: self.now)

    def _start(self, words: Sequence[str], *, on_line: Callable[[str], None], memory_bytes: int = 0) -> FakeRun:
        self.runs.append(FakeRun(words, on_line=on_line, memory_bytes=memory_bytes))
        return self.runs[-1]

    def begin(self, content: bytes = MP4) -> str:
        job = self.desk.open(1)
        job.video_path.write_bytes(content)
        self.desk.look_at(job)
        return job.token

    def state(self, token: str) -> str:
        return str(self.desk.document(token)["state"])


@pytest.fixture
def at() -> Iterator[Desk]:
    made = Desk()
    with made.desk:
        yield made


@pytest.fixture
def page(at: Desk) -> Iterator[tuple[Desk, int]]:
    stop, app = threading.Event(), FastAPI(openapi_url=None)
    add_video_routes(app, at.desk, at.owner)
    with WebServer(app, open_listener("127.0.0.1", 0), stop) as web:
        yield at, web.address.port


def ask(port: int, method: str, path: str, body: bytes | None = None, key: str = "") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {HEADER: key} if key else {})
        answer = connection.getresponse()
        content = answer.read()
        is_json = answer.headers.get("content-type") == "application/json"
        return answer.status, json.loads(content) if is_json else content
    finally:
        connection.close()


def test_from_upload_to_download(page: tuple[Desk, int]) -> None:
    at, port = page
    status, said = ask(port, "POST", f"{VIDEOS_PATH}?every=5", MP4)
    assert status == 200
    where = f"{VIDEOS_PATH}/{said['token']}"
    (run,) = at.runs
    assert (run.words[0], run.words[-1], run.words[run.words.index("--every") + 1]) == ("detect", "5400", "5")
    assert run.memory_bytes == 4 << 30
    assert Path(run.words[1]).stat().st_mode & 0o077 == 0 or Path(run.words[1]).parent.stat().st_mode & 0o077 == 0
    assert ask(port, "GET", f"{where}/annotated.mp4")[0] == 404
    run.finish(6)
    wait_for(lambda: at.state(said["token"]) == "done")
    document = ask(port, "GET", where)[1]
    assert (document["done"], document["total"], document["boxes"]) == (6, 12, 12)
    assert document["files"] == ["annotated.mp4", "detections.jsonl"]
    assert not Path(run.words[1]).exists(), "the upload is gone"
    assert ask(port, "GET", f"{where}/annotated.mp4") == (200, b"annotated")
    assert ask(port, "GET", f"{where}/detections.jsonl") == (200, b"{}\n")
    assert ask(port, "DELETE", where)[0] == 200
    assert ask(port, "GET", where)[0] == 404
    assert not run.out.parent.exists()


@pytest.mark.parametrize(
    "path",
    ["/TOKEN/video.mp4", "/TOKEN/out", "/TOKEN/..%2f..%2fetc%2fpasswd", "/TOKEN/../../etc/passwd",
     "/TOKEN/out%2fvideo.mp4", "/..%2fetc/annotated.mp4", "/other/annotated.mp4", "/TOKEN/%2fetc%2fpasswd",
     "/TOKEN/labels", "/%00/annotated.mp4"],
)  # fmt: skip
def test_only_the_two_files_of_ones_own_job_come_out(page: tuple[Desk, int], path: str) -> None:
    at, port = page
    token = at.begin()
    at.runs[0].finish()
    wait_for(lambda: at.state(token) == "done")
    status, content = ask(port, "GET", VIDEOS_PATH + path.replace("TOKEN", token))
    assert status == 404
    assert b"root:" not in json.dumps(content).encode() if isinstance(content, dict) else content


def test_one_at_a_time_and_no_file_of_a_refused_one(page: tuple[Desk, int]) -> None:
    at, port = page
    token = at.begin()
    assert ask(port, "POST", VIDEOS_PATH, MP4) == (503, {"word": "picture.problem.video_busy", "values": {}})
    assert ask(port, "POST", f"{VIDEOS_PATH}?every=0", MP4)[0] == 422
    at.runs[0].finish()
    wait_for(lambda: at.state(token) == "done")
    assert not at.runs[0].out.parent.joinpath("video.mp4").exists()
    for body, status in ((b"#EXTM3U\nfile:///etc/passwd", 415), (b"", 415), (b"ffconcat version 1.0", 415)):
        assert ask(port, "POST", VIDEOS_PATH, body)[0] == status
    assert len(at.runs) == 1
    assert len(at.desk._jobs) == 1


def test_a_video_that_is_too_large_is_refused_before_it_is_sent(page: tuple[Desk, int]) -> None:
    at, port = page
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", VIDEOS_PATH)
    connection.putheader("Content-Length", str(MAX_VIDEO_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert at.desk._jobs == {}


def test_a_video_and_a_measurement_keep_each_other_out(page: tuple[Desk, int]) -> None:
    at, port = page
    received = at.desk.open(1)
    received.video_path.write_bytes(MP4)
    with at.use.alone():
        with pytest.raises(RefusedError, match="measuring"):
            at.desk.look_at(received)
        at.desk.drop(received.token)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", f"{VIDEOS_PATH}?every=1", MP4)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["word"]) == (503, "page.reserved.measuring")
        connection.close()
    assert at.runs == []
    token = at.begin()
    with pytest.raises(WordedError, match="still being looked at"), at.use.alone():
        pass
    at.runs[0].finish()
    wait_for(lambda: at.state(token) == "done")
    wait_for(lambda: is_free(at.use))


def test_a_visitors_video_gives_way_to_the_owners_measurement_and_the_owners_own_does_not(
    page: tuple[Desk, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, port = page
    token = ask(port, "POST", VIDEOS_PATH, MP4)[1]["token"]
    with ExitStack() as place:
        with monkeypatch.context() as patch:
            patch.setattr(at.use, "_wait_s", 1.0)  # so long it has to end, also on a busy machine
            place.enter_context(at.use.alone())
        wait_for(lambda: at.state(token) == "failed")
        assert ask(port, "GET", f"{VIDEOS_PATH}/{token}")[1]["word"] == "picture.problem.video_gave_way"
        assert at.desk.document(token)["message"] == ""
    assert at.runs[0].status == 143
    mine = ask(port, "POST", VIDEOS_PATH, MP4, key=at.owner.key)[1]["token"]
    with pytest.raises(WordedError, match="still being looked at"), at.use.alone():
        pass
    assert at.state(mine) == "running"


def test_a_video_that_was_just_done_when_it_was_to_give_way_is_kept(at: Desk) -> None:
    job = at.desk.open(1, yields=True)
    job.video_path.write_bytes(MP4)
    at.desk.look_at(job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at.runs[0], "stop", at.runs[0].finish)
        job.give_way()
    wait_for(lambda: at.state(job.token) == "done")
    assert at.desk.document(job.token)["word"] is None


def is_free(use: MachineUse) -> bool:
    try:
        with use.alone():
            return True
    except WordedError:
        return False


def test_what_fails_says_why_without_the_folder(at: Desk) -> None:
    token = at.begin()
    at.runs[0].status = 1
    at.runs[0].ended.set()
    wait_for(lambda: at.state(token) == "failed")
    assert at.desk.document(token)["message"] == "video.mp4 is damaged"


def test_a_video_that_takes_too_long_or_ends_without_a_word_says_so(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "RUN_LIMIT_S", 0.01)
    token = at.begin()
    wait_for(lambda: at.state(token) == "failed")
    told = at.desk.document(token)
    assert told["word"] == "picture.problem.video_too_long"
    monkeypatch.setattr(videos, "RUN_LIMIT_S", 900.0)
    monkeypatch.setattr(FakeRun, "why_it_failed", lambda run: "")
    token = at.begin()
    at.runs[1].status = -9
    at.runs[1].ended.set()
    wait_for(lambda: at.state(token) == "failed")
    told = at.desk.document(token)
    assert (told["word"], told["values"]) == ("picture.problem.video_silent", {"status": -9})


def test_a_closed_tab_ends_its_job_and_results_go_after_a_while(at: Desk) -> None:
    first = at.begin()
    at.now += SILENT_S - 1
    at.desk.document(first)
    at.now += SILENT_S - 1
    at.desk.sweep()
    assert at.state(first) == "running"
    at.now += SILENT_S + 1
    at.desk.sweep()
    assert at.runs[0].status == 143
    assert not at.runs[0].out.parent.exists()
    second = at.begin()
    at.runs[1].finish()
    wait_for(lambda: at.state(second) == "done")
    at.now += KEPT_S + 1
    at.desk.sweep()
    with pytest.raises(RefusedError):
        at.desk.document(second)
    assert not at.runs[1].out.parent.exists()


def test_no_more_than_a_few_results_lie_on_the_disk(at: Desk) -> None:
    for number in range(MOST_JOBS + 2):
        token = at.begin()
        at.runs[-1].finish()
        wait_for(lambda token=token: at.state(token) == "done")
        at.now += 1
        assert sum(run.out.parent.exists() for run in at.runs) == min(number + 1, MOST_JOBS)


def test_nothing_is_left_when_the_page_closes() -> None:
    at = Desk()
    with at.desk:
        at.begin()
    assert at.runs[0].status == 143
    assert not at.runs[0].out.parent.exists()
    with pytest.raises(RefusedError):
        at.desk.open(1)


def test_progress_tells_what_is_left(at: Desk) -> None:
    token = at.begin()
    run = at.runs[0]
    run.on_line("toy at 127.0.0.1:1, pictures by grpc, 12 frames to look at")
    assert at.desk.document(token)["left_s"] is None
    for _ in range(6):
        run.on_line('{"detections": []}')
    at.now += 3
    assert at.desk.document(token)["left_s"] == 3


@pytest.mark.parametrize(
    ("head", "is_one"),
    [(MP4, True), (b"\x1aE\xdf\xa3" + bytes(12), True), (b"RIFF....AVI LIST", True), (b"#EXTM3U\n" + bytes(8), False),
     (b"ffconcat version", False), (b"RIFF....WAVEfmt ", False), (b"", False), (b"<?xml version=", False)],
)  # fmt: skip
def test_containers_of_one_file_alone_are_taken(head: bytes, is_one: bool) -> None:
    assert is_container(head) is is_one
