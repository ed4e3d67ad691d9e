"""Saved videos have the times of their sources."""

from __future__ import annotations

import av
import numpy as np
import pytest

from photofinish.client.detect.detecting import detect_in_source
from photofinish.client.detect.saving import save_picture, video_writer
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.client.sources.opening import open_source
from photofinish.errors import ConfigError
from tests.client.fake_triton import FakeTriton
from tests.client.sources.clips import H264, make_clip
from tests.client.sources.test_recordings import INTACT

GREY = np.full((48, 64, 3), 100, np.uint8)


def times_in(path):
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)], float(container.streams.video[0].average_rate)


def save(tmp_path, times_ns, rate):
    with video_writer(tmp_path / "out.mp4", (64, 48), rate) as write:
        for time_ns in times_ns:
            write(GREY, time_ns)
    return times_in(tmp_path / "out.mp4")


@pytest.mark.parametrize("rate", [25, 30, 30000 / 1001, 24000 / 1001, 50, 7.5, 0.5])
def test_a_steady_rate_stays_exact(tmp_path, rate):
    times_s, found = save(tmp_path, [round(index / rate * 1e9) for index in range(12)], rate)
    assert times_s == pytest.approx([index / rate for index in range(12)], abs=2e-5)
    assert found == pytest.approx(rate, rel=1e-3)


def test_times_that_do_not_grow_and_a_late_beginning(tmp_path):
    times_s, _ = save(tmp_path, [5_000_000_000, 5_000_000_000, 4_000_000_000, 6_000_000_000], 25)
    assert times_s[0] == 0
    assert times_s == sorted(set(times_s))
    assert times_s[-1] == pytest.approx(1, abs=1e-3)


def test_without_times_one_picture_follows_the_other(tmp_path):
    times_s, found = save(tmp_path, [None] * 5, 20)
    assert times_s == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], abs=1e-4)
    assert found == pytest.approx(20)


@pytest.mark.parametrize(
    "kind", ["variable rate in Matroska", "variable rate in MP4", "time stamps jump forward by an hour"]
)
def test_a_recording_is_saved_at_its_own_times(tmp_path, kind):
    path = INTACT[kind](tmp_path)
    with open_source(str(path)) as source:
        expected_s = [frame.presented_ns / 1e9 for frame in source.frames()]
    with FakeTriton() as server, open_pipeline(server.url) as pipeline, open_source(str(path)) as source:
        summary = detect_in_source(source, pipeline, save_folder=tmp_path / "out")
    times_s, _ = times_in(summary.saved_to)
    assert times_s == pytest.approx(expected_s, abs=2e-5)


def test_a_second_run_keeps_the_first_ones_file(tmp_path):
    path = make_clip(tmp_path / "街.mp4", *H264, seconds=0.2)
    notices: list[str] = []
    saved = []
    for _ in range(2):
        with FakeTriton() as server, open_pipeline(server.url) as pipeline, open_source(str(path)) as source:
            summary = detect_in_source(source, pipeline, save_folder=tmp_path / "out", on_notice=notices.append)
            saved.append(summary.saved_to)
            content = (tmp_path / "out" / "街.mp4").read_bytes()
    assert [item.name for item in saved] == ["街.mp4", "街-2.mp4"]
    assert (tmp_path / "out" / "街.mp4").read_bytes() == content
    assert len(notices) == 1
    assert "街.mp4 is there already and stays" in notices[0]


def test_a_picture_that_cannot_be_coded_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.xyz cannot be written"):
        save_picture(GREY, tmp_path / "a.xyz")
    with pytest.raises(ConfigError, match=r"a\.png cannot be written: No such file"):
        save_picture(GREY, tmp_path / "none" / "a.png")
