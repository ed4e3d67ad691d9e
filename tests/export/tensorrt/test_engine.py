"""Real engines, built by tensorrt_rtx for GPUs that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.engine_record import record_from_engine, require_engine
from photofinish.errors import ExportError
from photofinish.export.tensorrt.engine import check_precision_on_target
from photofinish.export.tensorrt.library import TensorRTLibrary
from photofinish.source_hash import sha256_from_file
from tests.export.tensorrt.variants import build, file_size_limit

pytestmark = pytest.mark.usefixtures("rtx")


@pytest.mark.parametrize(
    ("precision", "target"),
    [("fp16", "sm120"), ("fp16", "sm89"), ("int8", "sm120"), ("int8", "sm89"), ("fp8", "sm120")],
)
def test_engine_builds_for_a_gpu_that_is_not_here(
    precision: str, target: str, request: pytest.FixtureRequest, tmp_path: Path, rtx: TensorRTLibrary
) -> None:
    onnx_path: Path = request.getfixturevalue(f"{precision}_path")
    destination = tmp_path / "1" / "model.plan"
    lines = build(onnx_path, destination, precision, target=target)
    record = record_from_engine(destination)
    assert record.target == target
    assert (record.library, record.library_version, record.gpu_name) == ("tensorrt_rtx", rtx.version, "")
    assert record.profile == (1, 8, 32)
    assert record.precision == precision
    assert record.weight_shares[precision] > 0.95
    assert record.engine_bytes == destination.stat().st_size > 1e6
    assert record.onnx_sha256 == sha256_from_file(onnx_path)
    assert sorted(path.name for path in destination.parent.iterdir()) == ["model.plan", "model.plan.json"]
    assert any(f"{precision} 100 % of the weights" in line for line in lines)


def test_full_disk_leaves_nothing_behind(toy_path: Path, tmp_path: Path) -> None:
    """A limit on the file size stands for the full disk: the write fails in the middle in the same way."""
    destination = tmp_path / "1" / "model.plan"
    with file_size_limit(4096), pytest.raises(ExportError, match="cannot be written: File too large; free some space"):
        build(toy_path, destination)
    assert list(destination.parent.iterdir()) == []


def test_failed_build_keeps_the_engine_that_was_there(toy_path: Path, fp32_path: Path, tmp_path: Path) -> None:
    destination = tmp_path / "1" / "model.plan"
    build(toy_path, destination)
    before = destination.read_bytes()
    with pytest.raises(ExportError):
        build(fp32_path, destination)
    assert destination.read_bytes() == before
    assert require_engine(destination, target="sm120").target == "sm120"


def test_precision_the_gpu_lacks_is_said_plainly() -> None:
    with pytest.raises(ExportError, match=r"sm86 \(A10.*\) has no FP8 arithmetic \(it begins with sm89\)"):
        check_precision_on_target("fp8", "sm86")
    with pytest.raises(ExportError, match=r"sm75 \(T4.*\) has no BF16 arithmetic \(it begins with sm80\)"):
        check_precision_on_target("bf16", "sm75")
    check_precision_on_target("fp8", "sm120")
    check_precision_on_target("int8", "sm75")
