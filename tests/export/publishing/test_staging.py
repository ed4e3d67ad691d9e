from __future__ import annotations

import importlib.metadata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from photofinish.errors import ExportError
from photofinish.export.build import stage_variants
from photofinish.export.publishing.staging import (
    CODE,
    WITHOUT,
    WORK_NAME,
    fingerprint,
    folder_fingerprint,
    replaced_directory,
    told_when_full,
)
from photofinish.source_hash import source_files
from photofinish.variant import Variant, default_variants_path
from tests.export.conftest import CHECKOUT
from tests.export.tensorrt.fixtures import INPUT_SIZE
from tests.export.tensorrt.variants import file_size_limit


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxruntime", "onnxruntime-gpu", "ultralytics"])
def test_another_version_of_a_library_makes_an_artifact_stale(
    variants: dict[str, Variant], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    def fingerprint_with(version: str) -> str:
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == package else "1")
        return fingerprint(variants["onnx_fp32"], {})

    assert fingerprint_with("1.0") == fingerprint_with("1.0") != fingerprint_with("1.1")


def test_a_folder_is_another_when_a_picture_of_it_is(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.png").write_bytes(b"1")
    before = folder_fingerprint(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert folder_fingerprint(tmp_path) == before
    (tmp_path / "below" / "a.png").write_bytes(b"12")
    assert folder_fingerprint(tmp_path) != before


def test_the_code_that_decides_an_artifact_is_known() -> None:
    code = {path.relative_to(CHECKOUT).as_posix() for path in source_files(CODE, without=WITHOUT)}
    wanted = {"export/recipes/table.py", "photofinish/letterbox.py", "photofinish/model_card.py"}
    assert wanted | {"photofinish/synthetic/camera.py"} <= code


def test_two_exports_into_one_folder_leave_a_whole_one(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def export(name: str) -> None:
        for _ in range(100):
            with replaced_directory(target, target.parent / WORK_NAME) as made:
                for part in ("a", "b"):
                    (made / part).write_text(name)

    with ThreadPoolExecutor(4) as pool:
        for running in [pool.submit(export, str(number)) for number in range(4)]:
            running.result()
    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == [target, tmp_path / WORK_NAME]
    assert (target / "a").read_text() == (target / "b").read_text()


def _interrupt_a_replacement(target: Path) -> None:
    with replaced_directory(target, target.parent / WORK_NAME) as made:
        (made / "file").write_text("half")
        raise KeyboardInterrupt


def test_an_interrupted_build_leaves_the_earlier_state(tmp_path: Path) -> None:
    target = tmp_path / "variant"
    with replaced_directory(target, target.parent / WORK_NAME) as first:
        (first / "file").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _interrupt_a_replacement(target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [WORK_NAME, "file", "variant"]
    assert (target / "file").read_text() == "old"


@pytest.mark.usefixtures("rtx")
def test_full_temporary_folder_is_told_in_one_line(tmp_path: Path) -> None:
    words = r"larger than the file system .*TMPDIR\. No half-made variant was left behind"
    with file_size_limit(4096), pytest.raises(ExportError, match=words):
        stage_variants(
            "demo",
            variants_path=default_variants_path(),
            names=("trt_fp16",),
            targets=("sm120",),
            input_size=INPUT_SIZE,
            staging=tmp_path / "staging",
            on_progress=lambda line: None,
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_another_error_of_the_system_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), told_when_full(tmp_path):
        raise PermissionError("no")
