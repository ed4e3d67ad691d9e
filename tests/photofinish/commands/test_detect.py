"""`photofinish detect` as a user types it: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from photofinish.commands.detect import detect
from photofinish.errors import ConfigError
from photofinish.model_card import DEMO_WEIGHTS
from photofinish.server.triton.embedded import EmbeddedServer
from tests.builders import build_card
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.pipeline.test_pipelines import one_box, tensor_model
from tests.client.sources.test_sources import write_noise, write_picture, write_video
from tests.ports import free_port


def start(*args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "photofinish.cli", "detect", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*args: object, timeout_s: float = 120) -> tuple[int, str, str]:
    process = start(*args)
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    return process.returncode, out, err


def assert_one_clear_line(result: tuple[int, str, str], *words: str) -> None:
    code, _, err = result
    assert code == 1
    assert "Traceback" not in err
    complaints = [line for line in err.splitlines() if line.startswith("photofinish: ")]
    assert len(complaints) == 1, err
    assert err.splitlines()[-1] == complaints[0]
    for word in words:
        assert word in complaints[0]


@pytest.fixture
def server():
    with FakeTriton(FakeModel(infer=one_box), tensor_model()) as fake:
        yield fake


@pytest.fixture
def picture(tmp_path):
    return write_picture(tmp_path / "grey.png")


def test_text_and_annotated_pictures(server, picture, tmp_path):
    code, out, err = run(picture.parent, "--url", server.url, "--save", tmp_path / "out" / "deep")
    assert code == 0
    assert out == "grey.png: bus 0.41\n"
    assert "toy_onnx_fp32" in err
    assert "system_shm" in err
    assert "1 frame, 1 box in " in err
    drawn = cv2.imread(str(tmp_path / "out" / "deep" / "grey.png"))
    assert drawn.shape == (64, 96, 3)
    assert (drawn != cv2.imread(str(picture))).any()


def test_the_demo_detector_says_that_it_knows_drawn_streets_only(picture):
    with FakeTriton(FakeModel(infer=one_box, card=build_card(weights=DEMO_WEIGHTS))) as fake:
        code, out, err = run(picture, "--url", fake.url)
    assert (code, out) == (0, "grey.png: bus 0.41\n")
    assert err.count("knows drawn street scenes only") == 1
    assert "photofinish export --weights best.pt" in err


@pytest.mark.parametrize("variant", ["onnx_fp32", "toy_onnx_fp32", "torch_fp32_tensor"])
def test_json_lines(server, picture, variant):
    code, out, err = run(picture, "--url", server.url, "--variant", variant, "--json", "--confidence", 0.1)
    assert code == 0, err
    (document,) = map(json.loads, out.splitlines())
    assert document["picture"] == "grey.png"
    assert document["size_wh"] == [96, 64]
    (found,) = document["detections"]
    assert (found["class"], found["class_id"]) == ("bus", 1)
    assert found["confidence"] == pytest.approx(0.408, abs=0.01)
    assert found["box_xyxy"] == [24, 9, 72, 57]


def test_confidence_cuts_off(server, picture):
    assert run(picture, "--url", server.url, "--confidence", 0.9)[1] == "grey.png: nothing found\n"


def test_a_video_keeps_all_its_frames(server, tmp_path):
    path = write_video(tmp_path / "clip.mp4", count=37, rate=25)
    code, out, _ = run(path, "--url", server.url, "--save", tmp_path / "out")
    assert code == 0
    assert len(out.splitlines()) == 37
    assert out.splitlines()[36].startswith("clip.mp4 #36: ")
    saved = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    count = 0
    while saved.read()[0]:
        count += 1
    assert count == 37
    assert saved.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    saved.release()


def test_a_folder_s_videos_are_looked_at_behind_its_pictures_and_a_bad_one_is_told(server, tmp_path):
    folder, out = tmp_path / "street", tmp_path / "out"
    folder.mkdir()
    write_picture(folder / "grey.png")
    write_video(folder / "b.mp4", count=9, rate=25)
    write_video(folder / "a.avi", count=12, rate=25)
    (folder / "cut.mp4").write_bytes((folder / "b.mp4").read_bytes()[:300])
    (folder / "._b.mp4").write_bytes(b"of macOS")
    code, text, err = run(folder, "--url", server.url, "--save", out, "--text", "--every", 3)
    assert code == 1
    names = [line.partition(":")[0] for line in text.splitlines()]
    assert names == ["grey.png", *(f"a.avi #{n}" for n in (0, 3, 6, 9)), *(f"b.mp4 #{n}" for n in (0, 3, 6))]
    assert ", 8 frames to look at" in err
    assert "skipped: " in err
    assert f"{folder}, 3 of 4 parts: 8 frames, " in err
    assert "a.avi: 4 frames, " in err
    assert_one_clear_line((code, text, err), "cut.mp4", "cannot be opened")
    assert sorted(path.name for path in out.iterdir()) == [
        "a.jsonl", "a.mp4", "b.jsonl", "b.mp4", "grey.png", "json", "labels",
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "labels").iterdir())[:2] == ["a_0.txt", "a_3.txt"]
    assert len((out / "b.jsonl").read_text().splitlines()) == 3


def test_a_folder_of_videos_alone_stops_after_so_many_frames_of_all(server, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, count=4, rate=25)
    code, text, err = run(tmp_path, "--url", server.url, "--frames", 6)
    assert code == 0, err
    assert [line.partition(":")[0] for line in text.splitlines()][3:] == ["a.mp4 #3", "b.mp4 #0", "b.mp4 #1"]
    assert ", 6 frames to look at" in err


def test_so_many_frames_of_an_endless_source(server):
    code, out, _ = run("synthetic?width=96&height=64", "--url", server.url, "--frames", 3)
    assert code == 0
    assert len(out.splitlines()) == 3


def test_ctrl_c_finishes_the_file(server, tmp_path):
    server.delay_s = 0.02
    process = start("synthetic?width=96&height=64", "--url", server.url, "--save", tmp_path)
    try:
        assert process.stdout
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "stopped"
    assert re.search(r"^\d+ frames?, \d+ box(es)? in .*; saved to .*synthetic-0\.mp4$", err, re.MULTILINE), err
    saved = cv2.VideoCapture(str(tmp_path / "synthetic-0.mp4"))
    assert saved.read()[0]
    saved.release()


def test_a_run_that_an_error_ends_accounts_for_its_frames(server):
    process = start("synthetic?width=96&height=64", "--url", server.url)
    try:
        assert process.stdout
        for _ in range(5):
            process.stdout.readline()
        server.vanish()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    summary, complaint = err.splitlines()[-2:]
    assert complaint.startswith("photofinish: ")
    done, failed = re.fullmatch(r"(\d+) frames, .* dropped \((\d+) failed\)", summary).groups()
    assert int(done) == len(out.splitlines()) + 5
    assert int(failed) >= 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_answered_as_ctrl_c(server, number, code):
    server.delay_s = 0.02
    process = start("synthetic?width=96&height=64", "--url", server.url)
    try:
        assert process.stdout
        process.stdout.readline()
        begun = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - begun < 30
    assert process.returncode == code
    summary, stopped = [line for line in err.splitlines() if line][-2:]  # click's own empty line for ^C
    assert stopped == f"stopped by {number.name}"
    assert re.match(r"\d+ frames?, \d+ box(es)? in ", summary)


def test_metrics_can_be_scraped_meanwhile(server):
    server.delay_s = 0.02
    process = start("synthetic?width=96&height=64", "--url", server.url, "--metrics-port", 0)
    try:
        assert process.stdout
        assert process.stderr
        url = process.stderr.readline().strip().removeprefix("metrics at ")
        assert process.stdout.readline(), process.stderr.read()
        with urllib.request.urlopen(url, timeout=60) as response:
            text = response.read().decode()
    finally:
        process.kill()
        process.communicate()
    assert 'photofinish_frames_total{side="optimised",stream="synthetic-0",variant="toy_onnx_fp32"}' in text
    assert "photofinish_latency_seconds_bucket" in text


def test_missing_file(server, tmp_path):
    assert_one_clear_line(run(tmp_path / "nowhere.jpg", "--url", server.url), "nowhere.jpg does not exist")


def test_corrupt_jpeg(server, tmp_path):
    path = write_noise(tmp_path / "broken.jpg")
    path.write_bytes(path.read_bytes()[:4000])
    assert_one_clear_line(run(path, "--url", server.url), "broken.jpg is a damaged JPEG")


def test_truncated_mp4(server, test_data, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes((test_data / "videos" / "highway_cars_720p.mp4").read_bytes()[:500_000])
    assert_one_clear_line(run(path, "--url", server.url), "cut.mp4 ends after", "of 335 frames")


def test_not_a_video(server, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("hello")
    assert_one_clear_line(run(path, "--url", server.url), "clip.mp4 cannot be opened as a video")


def test_empty_folder(server, tmp_path):
    assert_one_clear_line(run(tmp_path, "--url", server.url), "holds no pictures")


def test_unreachable_server(picture):
    url = f"127.0.0.1:{free_port()}"
    assert_one_clear_line(run(picture, "--url", url), f"no answer from {url}")


def test_unknown_variant(server, picture):
    complaint = "unknown variant trt_int4"
    assert_one_clear_line(run(picture, "--url", server.url, "--variant", "trt_int4"), complaint, "toy_onnx_fp32")


def test_no_repository(picture, tmp_path):
    assert_one_clear_line(run(picture, "--repository", tmp_path / "none"), "none", "photofinish export")


def test_saving_over_the_original(server, picture):
    before = picture.read_bytes()
    assert_one_clear_line(run(picture, "--url", server.url, "--save", picture.parent), "write over the original")
    assert picture.read_bytes() == before


def test_a_folder_that_cannot_be_made(server, picture):
    assert_one_clear_line(run(picture, "--url", server.url, "--save", picture / "out"), "cannot be written")


def test_its_help_loads_nothing_heavy():
    code = "import sys, photofinish.commands.detect; sys.exit(bool({'cv2', 'grpc', 'tritonclient'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "photofinish.flows.detect", None)
    result = CliRunner().invoke(detect, ["0"])
    assert isinstance(result.exception, ConfigError)
    assert "pip install 'photofinish[client]'" in str(result.exception)


def test_wrong_usage_is_exit_2(picture):
    assert run(picture, "--confidence", "2")[0] == 2


@pytest.mark.parametrize("variant", ["onnx_fp32", "torch_fp32_tensor"])
@pytest.mark.parametrize(
    ("break_it", "words"),
    [(FakeTriton.vanish, "127.0.0.1"), (lambda fake: fake.models.clear(), "does not serve")],
    ids=["server killed", "model deleted"],
)
def test_what_breaks_in_mid_stream(server, variant, break_it, words):
    def break_after_a_while():
        wait_for(lambda: len(server.requests) > 10, timeout_s=60)
        break_it(server)

    breaker = threading.Thread(target=break_after_a_while)
    breaker.start()
    result = run("synthetic?width=96&height=64", "--url", server.url, "--variant", variant)
    breaker.join()
    assert result[1]
    assert_one_clear_line(result, words)


def test_a_real_server_that_breaks_in_mid_stream(coco_repository):
    repository, names = coco_repository
    model = names["onnx_fp32"]
    with EmbeddedServer(repository, models=(model,), on_progress=print) as own:
        url = own.endpoint.grpc_url
        assert_one_clear_line(run_until_broken(url, lambda: os.kill(own.endpoint.pid, signal.SIGKILL)), url)


def run_until_broken(url: str, break_it: Callable[[], object]) -> tuple[int, str, str]:
    """Run on an endless source and break something after five frames; nothing may be left in /dev/shm."""
    process = start("synthetic?width=320&height=192", "--url", url, "--timeout", 60)
    try:
        assert process.stdout
        for _ in range(5):
            assert process.stdout.readline().startswith("synthetic-0 #")
        break_it()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert not list(Path("/dev/shm").glob(f"photofinish-region-{process.pid}-*"))
    return process.returncode, out, err


def test_without_url_the_embedded_server_is_started(coco_repository):
    from ultralytics.utils import ASSETS

    repository, names = coco_repository
    code, out, err = run(ASSETS / "bus.jpg", "--repository", repository, "--json", "--timeout", 60, timeout_s=280)
    assert code == 0, err
    (document,) = map(json.loads, out.splitlines())
    assert sorted(item["class"] for item in document["detections"]) == ["bus", *["person"] * 4]
    assert names["onnx_fp32"] in err, "not the first by alphabet, but the best on a CPU"
    assert np.ptp([item["confidence"] for item in document["detections"]]) > 0.3
