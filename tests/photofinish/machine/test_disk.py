from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from photofinish.machine.disk import (
    CACHE_VARIABLE,
    LOG_FOLDER,
    free_bytes,
    free_text,
    log_folder,
    reason_if_full,
    why_not_written,
)


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "this user's quota on the disk is used up"),
        (shutil.Error([("a", "b", f"[Errno 28] {os.strerror(errno.ENOSPC)}: 'b'")]), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), ""),
        (ValueError("of the model"), ""),
    ],
)
def test_a_full_disk_is_known_by_number_and_by_text(exc: BaseException, reason: str) -> None:
    assert reason_if_full(exc) == reason


def test_a_message_says_what_is_free_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    said = why_not_written(path, OSError(errno.ENOSPC, "No space left on device"), "give another --save folder")
    assert said.startswith(f"{path} cannot be written: the disk is full ({tmp_path} has ")
    assert said.endswith(" MB free); free some space, or give another --save folder")
    denied = why_not_written(path, PermissionError(errno.EACCES, "Permission denied"), "give another --save folder")
    assert denied == f"{path} cannot be written: Permission denied; give another --save folder"
    assert free_bytes(path) > 0
    assert free_text(tmp_path).startswith(f"{tmp_path} has ")


def test_logs_lie_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert log_folder() == LOG_FOLDER
    (tmp_path / LOG_FOLDER).mkdir(parents=True)
    assert log_folder() == LOG_FOLDER


def test_where_nothing_can_be_written_logs_lie_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    # Root may write wherever the file system lets it, so that permissions would prove nothing here.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path or mode != os.W_OK)
    assert log_folder() == tmp_path / "cache" / "logs"
