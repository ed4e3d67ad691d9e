"""`photofinish cameras run` as a user has it: a list, lines of JSON, a list that changes, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.client.cameras.streams.stream import TestStream
from photofinish.errors import ConfigError
from tests.client.cameras.streams.test_server import moving_clip, serving
from tests.client.cameras.supervise.test_cell import one_box
from tests.client.fake_triton import FakeModel, FakeTriton

CLIP = moving_clip()
RECORDED = ("--tracks", "--snapshots", "snapshots", "--video", "videos")
SECRET = "hunter2 @/"


class Running:
    """A run of the command; its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.said: list[str] = []
        self._readers = [
            threading.Thread(target=lambda s=stream, kept=lines: kept.extend(iter(s.readline, "")), daemon=True)
            for stream, lines in ((process.stdout, self.out), (process.stderr, self.said))
        ]
        for reader in self._readers:
            reader.start()

    def exit_code(self) -> int:
        """Once it has ended by itself, and all that it said was read."""
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(60)
        return code

    def until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def results(self, camera: str) -> list[dict[str, object]]:
        return [item for item in self.told() if "frame" in item and item["camera"] == camera]

    def events(self, camera: str) -> list[tuple[str, dict[str, object]]]:
        """Type and object of each event."""
        return [(item["type"], item["after"]) for item in self.told() if item.get("after", {}).get("camera") == camera]

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out if line.endswith("\n")]


@contextmanager
def running(*words: str, cwd: Path, has_page: bool = False) -> Iterator[Running]:
    program = "from photofinish.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "cameras", "run", *words, *([] if has_page else ["--no-page"])],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DOOR_PASSWORD": SECRET},
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_list_that_changes_and_ctrl_c(tmp_path: Path) -> None:
    streams = {
        "door": TestStream(clip=CLIP, frames_per_s=20, user="admin", password=SECRET),
        "yard": TestStream(clip=CLIP, frames_per_s=20),
    }
    with serving(streams) as server, FakeTriton(FakeModel(infer=one_box)) as triton:
        file = tmp_path / "cameras.toml"
        door = (
            f'[[camera]]\nname = "door"\nurl = "{server.url("door")}"\nuser = "admin"\npassword_env = "DOOR_PASSWORD"\n'
        )
        file.write_text(f'{door}[[camera]]\nname = "wrong"\n')
        with running(str(file), "--url", triton.url, "--json", "-", *RECORDED, cwd=tmp_path) as run:
            run.until(lambda: any(after["has_snapshot"] for _, after in run.events("door")), 90)
            assert any("camera 2 (wrong): a camera needs a url" in line for line in run.said)
            file.write_text(f'{door}[[camera]]\nname = "yard"\nurl = "{server.url("yard")}"\nframes_per_s = 10\n')
            run.until(lambda: len(run.results("yard")) >= 3)
            assert any("read again: yard added" in line for line in run.said)
            assert streams["door"].connections == 1
            file.write_text("[[camera]\n")
            run.until(lambda: any("is no TOML" in line and "stay as they are" in line for line in run.said))
            file.write_text("")
            run.until(lambda: any("has no camera that can be watched; the cameras stay" in line for line in run.said))
            file.write_text(door)
            run.until(lambda: any("yard removed" in line for line in run.said))
            os.kill(run.process.pid, signal.SIGHUP)
            run.until(lambda: any("nothing changed" in line for line in run.said))
            result = run.results("door")[-1]
            (event_id,) = {after["id"] for _, after in run.events("door")}
            assert result["detections"] == [
                {"class": "car", "confidence": 0.9, "box": [25.0, 0.0, 75.0, 42.5], "track": event_id}
            ]
            run.until(lambda: [kind for kind, _ in run.events("yard") if kind != "update"] == ["new", "end"])
            pids = children_of(run.process.pid)
            assert len(pids) == 2
            shown = "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in [run.process.pid, *pids])
            begun = time.monotonic()
            os.kill(run.process.pid, signal.SIGINT)
            run.process.wait(60)
            took_s = time.monotonic() - begun
            assert run.exit_code() == 0
            assert took_s < 3
            for pid in pids:
                assert not Path(f"/proc/{pid}").exists()
            assert any("frames due =" in line for line in run.said)
            assert run.events("door")[-1][0] == "end"
            assert (tmp_path / "snapshots" / "door" / f"{event_id}.jpg").read_bytes()[:2] == b"\xff\xd8"
            for camera in ("door", "yard"):
                (film,) = (tmp_path / "videos" / camera).iterdir()
                with av.open(str(film)) as container:
                    assert sum(1 for _ in container.decode(video=0)) >= 3
            everything = shown + "".join(run.out + run.said)
            logs = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
            assert "hunter2" not in everything + logs


def test_processes_end_with_a_killed_owner(tmp_path: Path) -> None:
    with serving({"cam": TestStream(clip=CLIP)}) as server, FakeTriton(FakeModel(infer=one_box)) as triton:
        (tmp_path / "list.txt").write_text(server.url("cam"))
        with running("list.txt", "--url", triton.url, "--json", "-", cwd=tmp_path) as run:
            run.until(lambda: len(run.out) >= 1)
            pids = children_of(run.process.pid)
            run.process.kill()
            run.process.wait()
            deadline = time.monotonic() + 30
            while any(Path(f"/proc/{pid}").exists() for pid in pids):
                assert time.monotonic() < deadline
                time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "takes a FILE with the cameras, or --test-streams N"),
        (["--test-streams", "1", "--stream-size", "10x10"], "--stream-size must be width x height"),
        (["none.toml"], "the list of cameras none.toml cannot be read"),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    with running(*words, cwd=tmp_path) as run:
        assert run.exit_code() == 1
        assert len(run.said) == 1
        assert message in run.said[0]


def test_the_broker_of_a_container_comes_from_its_environment() -> None:
    answer = CliRunner().invoke(
        cli, ["cameras", "run", "--test-streams", "1"], env={"PHOTOFINISH_MQTT": "http://broker"}
    )
    assert isinstance(answer.exception, ConfigError)
    assert "mqtt://" in str(answer.exception)
