"""A disk that is full is called full, with what to do; what was whole stays."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from photofinish.client.calibrate.collecting import collect_frames
from photofinish.client.detect.detecting import DetectSummary, detect_in_source
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.client.sources.opening import open_source
from photofinish.errors import ConfigError
from tests.client.fake_triton import FakeTriton
from tests.client.sources.test_sources import write_noise
from tests.photofinish.machine.full_disk import full_disk

FULL = r"cannot be written: the disk is full \(.* has 0\.\d MB free\); free some space, or "
SOURCE = "synthetic?width=640&height=360&fps=30"


def save_video(folder: Path, noise: Path) -> None:
    summaries: list[DetectSummary] = []
    with FakeTriton() as server, open_source(SOURCE) as source, open_pipeline(server.url) as pipeline:
        try:
            detect_in_source(source, pipeline, save_folder=folder, frame_limit=400, on_end=summaries.append)
        finally:
            assert [summary.saved_to for summary in summaries] == [None]


def save_pictures(folder: Path, noise: Path) -> None:
    with FakeTriton() as server, open_source(str(noise)) as source, open_pipeline(server.url) as pipeline:
        detect_in_source(source, pipeline, save_folder=folder)


def collect(folder: Path, noise: Path) -> None:
    with open_source(SOURCE) as source:
        collect_frames(source, SOURCE, folder, count=200, min_distance=0, duration_s=10)


@pytest.mark.parametrize(
    ("work", "flag"),
    [(save_video, "--save"), (save_pictures, "--save"), (collect, "--out")],
    ids=str,
)
def test_a_full_disk_is_told(tmp_path: Path, work: Callable[[Path, Path], None], flag: str) -> None:
    noise = tmp_path / "noise"
    noise.mkdir()
    for number in range(8):
        write_noise(noise / f"{number}.png")
    with full_disk(tmp_path / "small", size_kib=400) as disk:
        (disk / "filler").write_bytes(bytes(250_000))
        begun = time.monotonic()
        with pytest.raises(ConfigError, match=FULL + rf".*{flag} folder"):
            work(disk / "out", noise)
        assert time.monotonic() - begun < 90
        for path in (disk / "out").rglob("*.png"):
            assert not path.stat().st_size or cv2.imread(str(path)) is not None, "half a picture"
        assert [path.name for path in disk.rglob("*.new")] == []
        if work is save_pictures:
            assert not [path for path in (disk / "out").iterdir() if not path.stat().st_size]


def test_a_full_disk_under_the_output_is_one_line(tmp_path: Path) -> None:
    with FakeTriton() as server, full_disk(tmp_path / "small", size_kib=16) as disk:
        command = [sys.executable, "-m", "photofinish.cli", "detect", SOURCE, "--url", server.url, "--json"]
        with (disk / "out.jsonl").open("w") as out:
            done = subprocess.run(
                [*command, "--frames", "500"], stdout=out, stderr=-1, text=True, timeout=60, check=False
            )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        "cannot be written: the disk is full; free some space, or write elsewhere"
    )
