"""Calibration frames of a list of cameras: evenly from all, dead ones told and tried again, and nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from photofinish.client.calibrate.manifest import manifest_from_folder
from photofinish.client.cameras.collect import collecting
from photofinish.client.cameras.collect.collecting import CameraCollection
from photofinish.client.cameras.recording.pictures import PictureSlots
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.values.status import IngestReport
from photofinish.client.cameras.wire.messages import DecodeCamera, ProcessKind
from photofinish.errors import ConfigError, SourceError
from tests.client.calibrate.test_calibrate import scene
from tests.client.cameras.recording.held import HoldingWriter


class Scenes(HoldingWriter):
    """Holds another scene each time it is asked, or always the same one."""

    def __init__(self) -> None:
        super().__init__((96, 64))
        self.is_still = False

    def image(self) -> np.ndarray:
        return scene(0 if self.is_still else self.asked)


class Crew:
    """In place of the processes: cameras whose names begin with `dead` send nothing."""

    def __init__(self, *args: object, on_value, on_change, **options: object) -> None:  # type: ignore[no-untyped-def]
        self.writer = Scenes()
        self._on_value, self._on_change = on_value, on_change
        self._names: list[str] = []
        self._showing: asyncio.Task[None] | None = None

    def place(self, camera: Camera) -> None:
        self._names.append(camera.name)

    async def open(self) -> None:
        kinds: tuple[ProcessKind, ...] = ("decode", "ingest")
        for kind in kinds:
            self._on_change(kind, self._names, True)
        self._showing = asyncio.ensure_future(self._show())

    async def close(self) -> None:
        if self._showing is not None:
            self._showing.cancel()

    def tell_decoder(self, wish: DecodeCamera) -> None:
        assert 0.2 <= wish.frames_per_s <= 2

    def tell_ingest(self, camera: Camera) -> None:
        if camera.name.startswith("dead"):
            self._on_value((IngestReport(camera=camera.name, message="nobody answers at its address"),))

    async def _show(self) -> None:
        for sequence in range(1, 10_000):
            for name in self._names:
                if not name.startswith("dead"):
                    self._on_value(due(name, sequence))
            await asyncio.sleep(0.02)


def due(name: str, sequence: int) -> DueFrame:
    return DueFrame(
        camera=name,
        sequence=sequence,
        captured_ns=sequence,
        arrived_ns=sequence,
        decoded_ns=sequence,
        clock="arrival",
        size_wh=(96, 64),
    )


@pytest.fixture(autouse=True)
def _crew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "CellCrew", Crew)
    monkeypatch.setattr(collecting, "MAX_WH", (96, 64))


def cameras(*names: str) -> list[Camera]:
    return [Camera(name=name, url=f"rtsp://10.0.0.1/{name}") for name in names]


def collect(folder: Path, *names: str, count: int = 8, duration_s: float = 0.8) -> list[str]:
    """What was said."""
    said: list[str] = []
    collection = CameraCollection(
        cameras(*names), folder, count=count, duration_s=duration_s, min_distance=10, on_notice=said.append
    )
    asyncio.run(collection.run())
    return said


def kept(folder: Path) -> dict[str, list[int]]:
    """The parts of the time from which each camera has a frame."""
    parts: dict[str, list[int]] = {}
    for frame in manifest_from_folder(folder).frames:
        parts.setdefault(frame.source.split("#")[0], []).append(frame.index)
    return parts


def test_each_camera_gives_the_same_number_over_the_whole_time(tmp_path: Path) -> None:
    assert collect(tmp_path, "a", "b", count=9, duration_s=2) == []
    assert kept(tmp_path) == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}
    assert len(list((tmp_path / "frames").glob("*.jpg"))) == 8
    assert "10.0.0.1" not in (tmp_path / "manifest.json").read_text()


def test_a_dead_camera_is_one_line_and_is_tried_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "DEAD_S", 0.4)
    said = collect(tmp_path, "a", "dead", count=4, duration_s=1)
    assert said == ["dead is skipped: nobody answers at its address"]
    assert kept(tmp_path) == {"a": [0, 1]}
    states = {state.name: state for state in manifest_from_folder(tmp_path).sources.values()}
    assert (states["a"].is_complete, states["dead"].next_slot) == (True, 0)


def test_the_same_picture_is_kept_once_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scenes, "is_still", True, raising=False)
    monkeypatch.setattr(Scenes, "__init__", lambda self: HoldingWriter.__init__(self, (96, 64)))
    collect(tmp_path, "a", "b", count=6, duration_s=0.6)
    manifest = manifest_from_folder(tmp_path)
    assert len(manifest.frames) == 1
    assert sum(state.duplicates for state in manifest.sources.values()) in (4, 5)


def test_a_complete_folder_is_done_at_once(tmp_path: Path) -> None:
    collect(tmp_path, "a", count=2, duration_s=0.3)
    before = Counter(kept(tmp_path)["a"])
    assert collect(tmp_path, "a", count=2, duration_s=60) == []
    assert Counter(kept(tmp_path)["a"]) == before


def test_no_camera_at_all_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FIRST_PICTURE_S", 0.1)
    with pytest.raises(SourceError, match=r"no camera gave a picture; `photofinish cameras check FILE`"):
        collect(tmp_path, "dead 1", "dead 2")


def test_fewer_frames_than_cameras_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--frames 2 is less than one for each of 3 cameras; give --frames 3"):
        collect(tmp_path, "a", "b", "c", count=2)


def test_slots_are_given_back(tmp_path: Path) -> None:
    collection = CameraCollection(
        cameras("a"), tmp_path, count=6, duration_s=0.6, min_distance=0, on_notice=lambda text: None
    )
    slots: PictureSlots = collection._pictures
    descriptors = [slot.descriptor for slot in slots._slots]
    asyncio.run(collection.run())
    assert len(descriptors) == 4
    assert slots._slots == []
