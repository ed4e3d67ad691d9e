from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.errors import reason_from_error, said_of_file


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (ValueError("the shape is wrong"), "the shape is wrong"),
        (RuntimeError("\n  first line  \nsecond\n"), "first line"),
        (RuntimeError(), "RuntimeError"),
        (OSError("\n\n"), "OSError"),
        (ValueError("x" * 1000), "x" * 300),
    ],
)
def test_the_reason_is_one_line_whatever_was_said(exc: Exception, reason: str) -> None:
    assert reason_from_error(exc).strip() == reason


def test_what_the_system_says_of_a_file_does_not_name_it_again(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "none").read_bytes()
    assert said_of_file(caught.value) == "No such file or directory"
    assert said_of_file(ValueError("no JSON")) == "no JSON"
