"""One run of `photofinish cameras run`, watched in every way: scraped, asked for its status, seen on its page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from photofinish.client.cameras.streams.stream import TestStream
from photofinish.errors import ServerError
from photofinish.flows.camera.status import print_status
from tests.client.cameras.streams.test_server import moving_clip, serving
from tests.client.cameras.supervise.test_cell import one_box
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.ui.browser import Browser, find_chromium
from tests.photofinish.commands.test_cameras import Running, running

SECRET = "hunter2"


class Watched:
    """A run with two cameras that play and one that refuses the password."""

    def __init__(self, run: Running) -> None:
        self.run = run

    def address(self, what: str) -> str:
        self.run.until(lambda: any(line.startswith(f"{what}: ") for line in self.run.said), 60)
        found = re.search(rf"{what}: (http://\S+)", "".join(self.run.said))
        assert found is not None
        return found[1].rstrip("/")

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        with urllib.request.urlopen(f"{self.address('Status')}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    clip = moving_clip()
    streams = {name: TestStream(clip=clip, frames_per_s=10) for name in ("door", "yard")}
    streams["gate"] = TestStream(clip=clip, frames_per_s=10, user="admin", password="another")
    folder = tmp_path_factory.mktemp("watched")
    with serving(streams) as server, FakeTriton(FakeModel(infer=one_box)) as triton:
        rows = [
            f'[[camera]]\nname = "{name}"\nurl = "{server.url(name)}"\nuser = "admin"\npassword = "{SECRET}"\n'
            for name in streams
        ]
        (folder / "cameras.toml").write_text("".join(rows))
        words = ("cameras.toml", "--url", triton.url, "--status-port", "0", "--port", "0")
        with running(*words, cwd=folder, has_page=True) as run:
            yield Watched(run)


def test_a_scrape_adds_up_while_the_cell_runs(watched: Watched) -> None:
    door = ("camera", "door")
    deadline = time.monotonic() + 60
    while (found := watched.metrics()).get(("photofinish_camera_latency_seconds_count", (door,)), 0) < 5:
        assert time.monotonic() < deadline, watched.run.said
        time.sleep(0.2)
    for name in ("door", "yard", "gate"):
        camera = ("camera", name)
        dropped = sum(
            value
            for (metric, labels), value in found.items()
            if metric == "photofinish_camera_frames_dropped_total" and camera in labels
        )
        due = found["photofinish_camera_frames_due_total", (camera,)]
        pending = found["photofinish_camera_frames_pending", (camera,)]
        assert due > 0
        assert due == found["photofinish_camera_frames_inferred_total", (camera,)] + dropped + pending
    assert found["photofinish_camera_connected", (door,)] == 1
    assert found["photofinish_camera_quality", (("camera", "gate"), ("quality", "none"))] == 1
    for path in ("healthz", "readyz"):
        with urllib.request.urlopen(f"{watched.address('Status')}/{path}", timeout=60) as answer:
            assert answer.read() == b"ok\n"


def status_command(*words: str) -> subprocess.CompletedProcess[str]:
    program = "from photofinish.cli import main; main()"
    command = [sys.executable, "-c", program, "cameras", "status", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_status_prints_the_table_with_the_worst_camera_first(watched: Watched) -> None:
    url = watched.address("Status")

    def is_refused() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/status", timeout=60) as answer:
                rows = json.load(answer)["cameras"]
        except urllib.error.HTTPError:  # not a second old
            return False
        return any(row["camera"] == "gate" and row["count"]["dropped"] for row in rows)

    wait_for(is_refused, 60)
    found = status_command("--url", url.removeprefix("http://"))
    assert found.returncode == 0, found.stderr
    summary, _, headings, *rows = found.stdout.splitlines()
    assert "of 3 cameras play" in summary
    assert headings.split()[:2] == ["camera", "state"]
    assert rows[0].split()[0] == "gate"
    assert {row.split()[0] for row in rows} == {"door", "yard", "gate"}
    assert "refuses the user and password" in rows[0]
    with urllib.request.urlopen(f"{url}/status", timeout=60) as answer:
        text = answer.read().decode()
    assert json.loads(text)["schema_version"] == 1
    assert SECRET not in text + found.stdout + "".join(watched.run.said)


def test_status_without_a_run_says_what_to_start() -> None:
    with pytest.raises(ServerError) as caught:
        print_status("127.0.0.1:1")
    assert str(caught.value).startswith(
        "no `photofinish cameras run` answers at http://127.0.0.1:1 (Connection refused); start one, or give"
    )


def test_a_page_under_a_strangers_name_is_told_nothing(watched: Watched) -> None:
    request = urllib.request.Request(f"{watched.address('Page')}/cameras/state", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 400
    assert b"--trusted-host evil.example" in caught.value.read()


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium")
def test_the_page_shows_all_cameras_and_each_in_both_languages(watched: Watched, tmp_path: Path) -> None:
    url = watched.address("Page")
    with Browser(tmp_path) as browser:
        browser.open(f"{url}?lang=en")
        browser.wait_for("document.querySelector('#pc')?.dataset.state === 'live'", 60)
        browser.wait_for("document.querySelector('#pc-mosaic').naturalWidth >= 1000")
        browser.wait_for("document.querySelectorAll('.pc-tile').length === 3")
        rows = browser.evaluate("[...document.querySelectorAll('#pc-rows tr')].map(row => row.innerText)")
        assert rows[0].startswith("gate")  # the one with the most trouble
        assert "refuses the user and password" in rows[0]
        assert "not connected" in rows[0]
        browser.evaluate("document.querySelector('#pc-heads .pc-camera button').click()")
        names = "[...document.querySelectorAll('#pc-rows .pc-link')].map(link => link.textContent).join()"
        assert browser.evaluate(names) == "door,gate,yard"

        browser.evaluate("[...document.querySelectorAll('.pc-tile')][0].click()")
        browser.wait_for("document.querySelector('#pc-picture').naturalWidth === 960")
        browser.wait_for("document.querySelector('#pc-lines').textContent.includes('PLAY')")
        assert browser.evaluate("document.querySelector('#pc-name').textContent") == "door"
        browser.wait_for("document.querySelectorAll('#pc-chart rect').length > 0", 60)
        browser.evaluate("document.querySelector('#pc-language').click()")
        browser.wait_for("document.querySelector('#pc-facts').innerText.includes('取流正常')")
        browser.resize(390, 844)
        browser.evaluate("document.querySelector('#pc-back').click()")
        browser.wait_for("document.querySelector('#pc-mosaic').naturalWidth === 720")
        assert browser.evaluate("document.querySelector('#pc-rows').innerText.includes('摄像头拒绝了用户名或密码')")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.errors == []
        assert all(address.startswith((url, "data:", "blob:")) for address in browser.requested)
        assert SECRET not in browser.evaluate("document.documentElement.outerHTML")
        state = "fetch('cameras/camera?name=gate').then(answer => answer.text())"
        assert SECRET not in browser.evaluate(state)


def test_status_without_a_cell_is_one_line(tmp_path: Path) -> None:
    found = status_command("--url", "127.0.0.1:9")
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "photofinish cameras run" in found.stderr
