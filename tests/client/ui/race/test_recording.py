"""Races as files, read back: true pace, the size, the end."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from photofinish.client.ui.race.composing import RaceScreen
from photofinish.client.ui.race.recording import record_gif, record_video, replay_times, save_still
from photofinish.client.ui.words import PageWords
from photofinish.errors import ConfigError
from tests.client.ui.race.races import MS, build_race, lane


def short_screen(height_px: int = 180) -> RaceScreen:
    """A race of half a second."""
    race = build_race(lanes={"baseline": lane(50, 10), "optimised": lane(10, 10)}, finish=10)
    return RaceScreen(race, PageWords("en"), height_px=height_px)


def test_the_replay_runs_at_true_pace() -> None:
    times = replay_times(5000 * MS, 1 / 30)
    assert times[0] == -1000 * MS, "a second at the start"
    assert set(np.diff(times) // MS) == {33}
    assert times[-1] - 5000 * MS == pytest.approx(4000 * MS, abs=40 * MS), "the result stands for four seconds"
    assert 0 in times


def test_an_mp4_that_browsers_play(tmp_path: Path) -> None:
    path, shares = tmp_path / "race.mp4", list[float]()
    screen = short_screen()
    record_video(screen, path, on_share=shares.append)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        images = [frame.to_ndarray(format="bgr24") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == screen.size_wh == (320, 180)
        assert float(stream.average_rate or 0) == 30
    assert len(images) == len(replay_times(500 * MS, 1 / 30)) == len(shares)
    assert shares[-1] == 1
    assert np.abs(images[-1].astype(int) - screen.last_picture()).mean() < 6, "it ends with the result"
    assert path.read_bytes().find(b"moov") < path.read_bytes().find(b"mdat"), "it plays before it is whole"


def test_a_gif_that_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "race.gif"
    screen = short_screen()
    record_gif(screen, path)
    with Image.open(path) as image:
        assert image.size == screen.size_wh
        assert image.info["loop"] == 0
        durations = []
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            durations.append(image.info["duration"])
        last = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    assert sum(durations) == pytest.approx(1000 + 500 + 5000, abs=250), "start, race, result in milliseconds"
    assert durations[-1] >= 5000
    assert np.abs(last.astype(int) - screen.last_picture()).mean() < 10


@pytest.mark.parametrize("name", ["last.png", "last.jpg"])
def test_the_last_picture(name: str, tmp_path: Path) -> None:
    save_still(short_screen(), tmp_path / name)
    assert cv2.imread(str(tmp_path / name)).shape == (180, 320, 3)


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, record in {"race.mp4": record_video, "race.gif": record_gif, "race.png": save_still}.items():
        with pytest.raises(ConfigError, match=rf"{name} cannot be written"):
            record(short_screen(), tmp_path / "file" / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file"}
