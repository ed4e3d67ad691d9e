"""What the flags of `cameras run` make of a list's rows, and what they need."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.client.cameras.events import tracking
from photofinish.client.cameras.outputs.json_lines import JsonLines
from photofinish.client.cameras.values.camera import Camera, Line, Zone
from photofinish.errors import ConfigError
from photofinish.flows.camera.recording import RecordingWishes, cameras_of_run, recorded, require_recordable
from tests.client.cameras.recording.held import HoldingWriter

GATE = Line(name="gate", points_xy=((0, 0.5), (1, 0.5)))
CAMERA = Camera(name="door", url="rtsp://cam/live")


def made(camera: Camera = CAMERA, **wishes: object) -> Camera:
    (found,) = cameras_of_run([camera], RecordingWishes(**wishes))  # type: ignore[arg-type]
    return found


def test_flags_are_for_all_cameras_and_a_row_has_its_own_word() -> None:
    assert (made().is_tracked, bool(made().video)) == (False, False)
    assert (made(tracks=True).is_tracked, made(video=Path("v")).video) == (True, True)
    off = replace(CAMERA, tracks=False, video=False)
    found = made(off, tracks=True, video=Path("v"), lines=("gate=0,0,1,1",))
    assert (found.is_tracked, found.video, found.lines) == (False, False, ())
    assert made(replace(CAMERA, tracks=True, video=True)).video


def test_lines_and_zones_are_for_all_and_a_rows_own_come_first() -> None:
    found = made(lines=("gate=0.1,0.6,0.9,0.6",), zones=("yard=0,0,1,0,1,1",))
    assert found.lines == (Line(name="gate", points_xy=((0.1, 0.6), (0.9, 0.6))),)
    assert found.zones == (Zone(name="yard", points_xy=((0, 0), (1, 0), (1, 1))),)
    assert found.is_tracked
    own = made(replace(CAMERA, lines=(GATE,)), lines=("gate=0,0,1,1", "other=0,0,1,1"))
    assert [line.points_xy for line in own.lines] == [GATE.points_xy, ((0, 0), (1, 1))]


@pytest.mark.parametrize(
    ("wishes", "problem"),
    [
        ({"lines": ("gate",)}, "--line must be a name and points"),
        ({"lines": ("=0,0,1,1",)}, "--line must be a name and points"),
        ({"lines": ("gate=0,0,1",)}, "--line must be a name and points"),
        ({"lines": ("gate=0,0,1,1,0,0",)}, "two different points"),
        ({"zones": ("yard=0,0,1,x",)}, "--zone must be a name and points"),
        ({"zones": ("yard=0,0,1,1",)}, "three or more points"),
    ],
)
def test_what_is_no_line_or_zone_is_refused_before_anything_starts(wishes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        RecordingWishes(**wishes)  # type: ignore[arg-type]


def test_snapshots_need_tracks_and_tracks_need_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = RecordingWishes(snapshots=Path("s"))
    with pytest.raises(ConfigError, match="--snapshots needs --tracks"):
        require_recordable([CAMERA], wishes)
    require_recordable([CAMERA], RecordingWishes())
    monkeypatch.setattr(tracking, "LIBRARIES", ("not_a_library",))
    with pytest.raises(ConfigError, match="tracks need not_a_library; install it"):
        require_recordable([replace(CAMERA, tracks=True)], wishes)


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def make(wishes: RecordingWishes) -> None:
        recorded([], wishes, [replace(CAMERA, tracks=True, video=True)], HoldingWriter, lambda text: None)

    for wishes in (
        RecordingWishes(snapshots=tmp_path / "file" / "s"),
        RecordingWishes(video=tmp_path / "file" / "v"),
    ):
        with pytest.raises(ConfigError, match="cannot be written"):
            asyncio.run(make(wishes))


def test_outputs_stand_behind_the_tracks_and_nothing_is_made_for_who_asks_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []

    async def make() -> list[str]:
        lines = JsonLines(tmp_path / "out.jsonl")
        outputs = recorded([lines], RecordingWishes(), [CAMERA], HoldingWriter, said.append)
        await asyncio.gather(*(asyncio.to_thread(output.close) for output in outputs))
        return [output.name for output in outputs]

    assert asyncio.run(make()) == ["tracks", "json out.jsonl", "video"]
    assert said == []
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
