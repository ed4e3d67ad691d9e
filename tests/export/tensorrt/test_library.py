from __future__ import annotations

from types import SimpleNamespace

import pytest

from photofinish.export.tensorrt.library import TensorRTLibrary, problem_with, version_tuple


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("10.16.1.11", (10, 16)), ("11.4.0", (11, 4)), ("11", (11, 0)), ("10.8.dev3+cu13", (10, 8)), ("unknown", (0, 0))],
)
def test_a_version_is_two_numbers_however_it_is_written(version: str, numbers: tuple[int, int]) -> None:
    assert version_tuple(version) == numbers


def test_an_old_library_is_told_with_the_remedy() -> None:
    old = TensorRTLibrary(name="tensorrt", version="10", module=SimpleNamespace())
    assert problem_with(old, "sm120") == "tensorrt 10 is older than 10.8 (pip install tensorrt-cu13 --upgrade)"
