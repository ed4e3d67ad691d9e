"""A line of progress that nobody can read any more."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from photofinish.flows import tell


class _Gone(io.StringIO):
    """A terminal that was closed, a pipe without a reader, a file on a full disk."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self._code = code

    def write(self, text: str) -> int:
        raise OSError(self._code, "gone")


@pytest.mark.parametrize("code", [errno.EIO, errno.EPIPE, errno.ENOSPC])
def test_a_line_that_nobody_can_read_stops_nobody(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """What told of a killed process ended with its line, and the process was never started again."""
    monkeypatch.setattr(sys, "stderr", _Gone(code))
    tell("a process was ended by signal 9 and is started again")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    tell("the same")
