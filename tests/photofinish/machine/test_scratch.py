from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from photofinish.machine.scratch import PREFIX, remove, remove_stale, scratch_folder


@pytest.fixture
def dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_scratch_folder_goes_with_its_block(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "below").mkdir()
        (folder / "below" / "file").touch()
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_only_what_dead_processes_left_is_removed(tmp_path: Path, dead_pid: int) -> None:
    stale, locked, foreign = (tmp_path / f"{PREFIX}{dead_pid}_{name}" for name in ("stale", "locked", "link"))
    for path in (stale, locked, tmp_path / f"{PREFIX}{os.getpid()}_mine", tmp_path / f"{PREFIX}x_{dead_pid}"):
        path.mkdir()
        (path / "file").touch()
    foreign.symlink_to(tmp_path / f"{PREFIX}x_{dead_pid}")
    descriptor = os.open(locked, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        remove_stale(tmp_path)
    finally:
        os.close(descriptor)
    assert {path.name.removeprefix(PREFIX) for path in tmp_path.iterdir()} == {
        f"{dead_pid}_locked",
        f"{dead_pid}_link",
        f"{os.getpid()}_mine",
        f"x_{dead_pid}",
    }
    assert (foreign / "file").exists()


def test_the_next_one_cleans_the_temporary_folder(
    tmp_path: Path, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"{PREFIX}{dead_pid}_left").mkdir()
    with scratch_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_whatever_lies_there_is_removed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "file").touch()
    for name in ("link", "file", "gone"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "file"]
    remove(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
