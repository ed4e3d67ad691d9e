from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from photofinish.errors import ExportError
from photofinish.export.tensorrt import library
from photofinish.export.tensorrt.library import TensorRTLibrary, choose_library, problem_with, version_tuple
from photofinish.export.tensorrt.targets import Gpu


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("10.16.1.11", (10, 16)), ("11.4.0", (11, 4)), ("11", (11, 0)), ("10.8.dev3+cu13", (10, 8)), ("unknown", (0, 0))],
)
def test_a_version_is_two_numbers_however_it_is_written(version: str, numbers: tuple[int, int]) -> None:
    assert version_tuple(version) == numbers


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_a_library_whose_shared_files_are_missing_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    monkeypatch.setattr(library, "MODULES", {"tensorrt": ("toy_tensorrt",)})
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "toy_tensorrt.py").write_text(f'raise {error}("libnvinfer.so.10: cannot open shared object file")')
    assert library.imported_library("tensorrt") is None


def test_an_old_library_is_told_with_the_remedy() -> None:
    old = TensorRTLibrary(name="tensorrt", version="10", module=SimpleNamespace())
    assert problem_with(old, "sm120") == "tensorrt 10 is older than 10.8 (pip install tensorrt-cu13 --upgrade)"


@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize(
    ("target", "gpu", "message"),
    [
        (None, None, "no NVIDIA GPU to build a TensorRT engine for; name one with --target"),
        ("sm90", None, "knows sm75, sm80, sm86, sm89, sm120, sm121 and not sm90"),
        (None, Gpu(name="NVIDIA H100", target="sm90"), "tensorrt_rtx .* not sm90"),
    ],
)
def test_target_no_library_builds_for(target: str | None, gpu: Gpu | None, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        choose_library(target, gpu)
