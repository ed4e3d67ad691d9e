from __future__ import annotations

import pytest

from photofinish.errors import reason_from_error


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
