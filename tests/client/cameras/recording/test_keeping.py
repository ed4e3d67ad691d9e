"""Folders that stay bounded: the oldest of our own files go, and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from photofinish.client.cameras.recording.keeping import BoundedFolder, folder_name
from photofinish.errors import ConfigError

NAME = re.compile(r"\d+\.jpg")


def opened(folder: Path, *, max_files: int = 100, max_bytes: int = 10**9) -> BoundedFolder:
    return BoundedFolder(folder, NAME, max_files=max_files, max_bytes=max_bytes).open()


def fill(kept: BoundedFolder, camera: str, number: int, size: int = 10) -> Path:
    path = kept.path_for(camera, f"{number}.jpg")
    path.write_bytes(bytes(size))
    kept.keep(path, size)
    return path


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.rglob("*.jpg"))


def test_the_oldest_go_first_when_there_are_too_many(tmp_path: Path) -> None:
    kept = opened(tmp_path, max_files=3)
    for number in range(6):
        fill(kept, f"camera {number % 2}", number)
    assert numbers(tmp_path) == [3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 2


def test_bytes_are_bounded_and_a_file_that_is_written_again_counts_once(tmp_path: Path) -> None:
    kept = opened(tmp_path, max_bytes=100)
    for size in (10, 60, 30):
        fill(kept, "door", 1, size)
    assert kept.total_bytes == 30
    fill(kept, "door", 2, 60)
    fill(kept, "door", 3, 50)
    assert (numbers(tmp_path), kept.total_bytes) == ([3], 50)


def test_a_single_file_over_the_bound_stays(tmp_path: Path) -> None:
    fill(opened(tmp_path, max_bytes=100), "door", 1, 500)
    assert numbers(tmp_path) == [1]


def test_files_of_earlier_runs_go_first_and_those_of_others_never(tmp_path: Path) -> None:
    (tmp_path / "door").mkdir()
    foreign = [tmp_path / "notes.jpg", tmp_path / "door" / "mine.jpg", tmp_path / "7.jpg"]
    for path in foreign:
        path.write_bytes(bytes(1000))
    for age, number in enumerate((12, 11, 10)):
        path = tmp_path / "door" / f"{number}.jpg"
        path.write_bytes(bytes(10))
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    kept = opened(tmp_path, max_files=2)
    assert sorted(path.name for path in (tmp_path / "door").iterdir()) == ["11.jpg", "12.jpg", "mine.jpg"]
    fill(kept, "door", 13)
    assert not (tmp_path / "door" / "11.jpg").exists()
    assert all(path.exists() for path in foreign)


def test_a_file_that_somebody_else_removed_is_no_trouble(tmp_path: Path) -> None:
    kept = opened(tmp_path, max_files=1)
    fill(kept, "door", 1).unlink()
    fill(kept, "door", 2)
    assert numbers(tmp_path) == [2]


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match=r"taken cannot be written: .*; name another folder"):
        opened(tmp_path / "taken")


@pytest.mark.parametrize("camera", ["../../etc", "a/b", ".", "前门"])
def test_a_camera_of_any_name_stays_inside_the_folder(tmp_path: Path, camera: str) -> None:
    path = opened(tmp_path / "inside").path_for(camera, "1.jpg")
    assert path.resolve().parent.parent == (tmp_path / "inside").resolve()


def test_a_camera_finds_its_folder_by_its_name_in_any_script() -> None:
    assert folder_name("大门") == "大门"
    assert folder_name("gate-2") == "gate-2"
    assert folder_name("10.0.0.5/live") == "10_0_0_5_live-48baf730"
    assert folder_name("大门 1") != folder_name("大门_1")
    assert folder_name("..") not in (".", "..")
    assert len(folder_name("門" * 80).encode()) <= 255
