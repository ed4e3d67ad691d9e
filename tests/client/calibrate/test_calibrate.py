"""Collecting calibration frames."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from photofinish.client.calibrate.collecting import collect_frames, hash_distance, picture_hash
from photofinish.client.calibrate.manifest import SourceState, manifest_from_folder
from photofinish.client.calibrate.run import write_contact_sheet
from photofinish.client.sources.source import Source
from photofinish.commands.calibrate import calibrate
from photofinish.errors import ConfigError, SourceError
from photofinish.frame import Frame
from tests.client.sources.test_rtsp import rtsp_server, system_python  # noqa: F401


def scene(number: int) -> np.ndarray:
    """A picture unlike those of other numbers: coarse random patches."""
    patches = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(patches, (96, 64), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


class Scripted(Source):
    """Shows the scenes of a list, one per frame, 10 frames a second; breaks after `breaks_after` frames."""

    def __init__(
        self, scenes: list[int], *, live: bool = False, endless: bool = False, breaks_after: int = 10**9
    ) -> None:
        super().__init__(
            "scripted", frames_per_s=10.0, frame_count=None if live or endless else len(scenes), is_live=live
        )
        self.scenes = scenes
        self.breaks_after = breaks_after

    def frames(self) -> Iterator[Frame]:
        for index, number in enumerate(self.scenes):
            if index == self.breaks_after:
                raise SourceError("the camera is gone")
            yield Frame(image_hwc_bgr=scene(number), stream_id="s", index=index, captured_ns=index * 100_000_000)


def indices(folder: Path) -> list[int]:
    return [frame.index for frame in manifest_from_folder(folder).frames]


def test_recordings_are_sampled_evenly(tmp_path: Path) -> None:
    collect_frames(Scripted(list(range(100))), "s", tmp_path, count=5)
    assert indices(tmp_path) == [0, 20, 40, 60, 80]
    assert len(list((tmp_path / "frames").glob("*.jpg"))) == 5


def test_near_duplicates_are_left_out(tmp_path: Path) -> None:
    manifest = collect_frames(Scripted([1] * 30 + [2] * 30), "s", tmp_path, count=6)
    assert indices(tmp_path) == [0, 30]
    assert next(iter(manifest.sources.values())).duplicates == 4


def test_a_slot_gives_its_first_new_picture(tmp_path: Path) -> None:
    collect_frames(Scripted([1] * 15 + [2] * 5), "s", tmp_path, count=2)
    assert indices(tmp_path) == [0, 15]


def test_live_sources_are_spread_over_the_duration(tmp_path: Path) -> None:
    collect_frames(Scripted(list(range(200)), live=True), "s", tmp_path, count=4, duration_s=8.0)
    assert indices(tmp_path) == [0, 20, 40, 60]


def test_sources_without_an_end_stop_after_the_duration(tmp_path: Path) -> None:
    collect_frames(Scripted(list(range(500)), endless=True), "s", tmp_path, count=3, duration_s=6.0)
    assert indices(tmp_path) == [0, 20, 40]


def test_interrupted_runs_go_on(tmp_path: Path) -> None:
    scenes = list(range(50))
    with pytest.raises(SourceError, match="gone"):
        collect_frames(Scripted(scenes, breaks_after=22), "s", tmp_path, count=5)
    assert indices(tmp_path) == [0, 10, 20]
    looked_at: list[SourceState] = []
    collect_frames(Scripted(scenes), "s", tmp_path, count=5, on_slot=lambda state, kept: looked_at.append(state))
    assert indices(tmp_path) == [0, 10, 20, 30, 40]
    before = (tmp_path / "manifest.json").read_bytes()
    collect_frames(Scripted(scenes), "s", tmp_path, count=5)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_interrupted_live_runs_take_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        collect_frames(Scripted(list(range(60)), live=True, breaks_after=25), "s", tmp_path, count=4, duration_s=4)
    collect_frames(Scripted(list(range(100, 160)), live=True), "s", tmp_path, count=4, duration_s=4)
    frames = manifest_from_folder(tmp_path).frames
    assert len(frames) == 4
    for frame in frames:
        assert hashlib.sha256((tmp_path / frame.file).read_bytes()).hexdigest() == frame.sha256


def test_another_source_adds_to_the_folder(tmp_path: Path) -> None:
    collect_frames(Scripted([1, 2, 3]), "first", tmp_path, count=3)
    collect_frames(Scripted([3, 4, 5]), "second", tmp_path, count=3)
    assert len(manifest_from_folder(tmp_path).frames) == 5


def test_addresses_are_not_kept(tmp_path: Path) -> None:
    collect_frames(Scripted([1, 2]), "rtsp://user:secret@camera/1", tmp_path, count=2)
    assert "secret" not in (tmp_path / "manifest.json").read_text()


def test_lost_files_are_forgotten(tmp_path: Path) -> None:
    manifest = collect_frames(Scripted([1, 2]), "s", tmp_path, count=2)
    (tmp_path / manifest.frames[0].file).unlink()
    assert indices(tmp_path) == [1]


def test_other_number_of_frames_is_refused(tmp_path: Path) -> None:
    collect_frames(Scripted([1, 2]), "s", tmp_path, count=2)
    with pytest.raises(ConfigError, match="begun with --frames 2 for scripted, got 3"):
        collect_frames(Scripted([1, 2]), "s", tmp_path, count=3)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"schema_version": 1}), json.dumps({"schema_version": 9})])
def test_foreign_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        collect_frames(Scripted([1]), "s", tmp_path, count=1)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written|manifest"):
        collect_frames(Scripted([1]), "s", tmp_path / "file", count=1)


def test_source_without_frames(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no frames at all"):
        collect_frames(Scripted([], endless=True), "s", tmp_path, count=1)


def test_hash_forgives_noise_and_size_but_not_content() -> None:
    image = cv2.GaussianBlur(scene(1), (0, 0), 3).astype(np.uint8)
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    larger = np.asarray(cv2.resize(image, (960, 640), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    assert hash_distance(picture_hash(image), picture_hash(noisy)) < 10
    assert hash_distance(picture_hash(image), picture_hash(larger)) < 10
    assert hash_distance(picture_hash(image), picture_hash(scene(2))) > 60


def test_contact_sheet_shows_every_picture(tmp_path: Path) -> None:
    manifest = collect_frames(Scripted(list(range(10))), "s", tmp_path, count=10)
    sheet = cv2.imread(str(write_contact_sheet(manifest, tmp_path)))
    assert sheet is not None
    assert sheet.shape == (2 * 135 + 4, 8 * 204 + 4, 3)
    corner = sheet[20:100, 40:180].astype(int)
    assert corner.std() > 20


def test_command_on_a_real_video(test_data: Path, tmp_path: Path) -> None:
    video = test_data / "videos" / "highway_cars_720p.mp4"
    result = CliRunner().invoke(calibrate, [str(video), "--frames", "12", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path)
    found = indices(tmp_path)
    assert len(found) >= 8
    assert found[-1] > 250
    assert (tmp_path / "contact_sheet.jpg").is_file()


def test_command_on_a_real_rtsp_stream(system_python: str, tmp_path: Path) -> None:  # noqa: F811
    with rtsp_server(system_python) as port:
        address = f"rtsp://127.0.0.1:{port}/cam"
        options = ["--frames", "3", "--duration", "3", "--min-distance", "0", "--out", str(tmp_path)]
        result = CliRunner().invoke(calibrate, [address, *options])
    assert result.exit_code == 0, result.output
    first, second, third = indices(tmp_path)
    assert first < second < third
    assert third - first >= 25


def test_the_command_says_how_to_go_on_and_how_much_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Scripted) -> Iterator[Frame]:
        for index, number in enumerate(self.scenes):
            if index == 30:
                raise KeyboardInterrupt
            yield Frame(image_hwc_bgr=scene(number), stream_id="s", index=index, captured_ns=index * 100_000_000)

    options = ["scripted", "--frames", "10", "--out", str(tmp_path)]
    monkeypatch.setattr(
        "photofinish.client.calibrate.run.open_source", lambda spec, **options: Scripted(list(range(100)))
    )
    with monkeypatch.context() as patch:
        patch.setattr(Scripted, "frames", interrupted)
        stopped = CliRunner().invoke(calibrate, options)
    assert stopped.exit_code != 0
    assert "run the same command again to go on" in stopped.stderr
    assert indices(tmp_path) == [0, 10, 20]
    finished = CliRunner().invoke(calibrate, options)
    assert finished.exit_code == 0, finished.output
    assert "7 new frames, 10 in all; near-duplicates left out: 0" in finished.stderr
    assert "0 new frames, 10 in all" in CliRunner().invoke(calibrate, options).stderr


def test_names_that_are_not_utf8_and_bad_pictures(tmp_path: Path) -> None:
    """Half characters in a name end OpenCV's own functions in a segmentation fault."""
    pictures = tmp_path / os.fsdecode(b"caf\xe9")
    pictures.mkdir()
    for number in range(3):
        (pictures / f"{number}.png").write_bytes(cv2.imencode(".png", scene(number))[1].tobytes())
    (pictures / "3.png").write_bytes(b"hello")
    folder = tmp_path / os.fsdecode(b"out\xff")
    options = [str(pictures), "--out", str(folder)]
    result = CliRunner().invoke(calibrate, options)
    assert isinstance(result.exception, SourceError)
    assert "1 of 4 pictures could not be read and were skipped: 3.png" in str(result.exception)
    assert "3 new frames, 3 in all" in result.stderr
    assert (folder / "contact_sheet.jpg").stat().st_size > 1000
    strict = CliRunner().invoke(calibrate, [*options[:2], str(tmp_path / "strict"), "--strict"])
    assert "3.png is not a picture" in str(strict.exception)
