from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import onnx
import pytest

from photofinish.errors import ExportError
from photofinish.export.tensorrt.build import (
    attach_timing_cache,
    keep_timing_cache,
    profile_from_buckets,
    timing_cache_name,
)
from photofinish.export.tensorrt.engine import EngineRequest, engine_from_onnx
from photofinish.export.tensorrt.library import TensorRTLibrary
from photofinish.export.tensorrt.progress import tensorrt_logger
from tests.export.tensorrt.variants import build, engine_variant

pytestmark = pytest.mark.usefixtures("rtx")


def test_progress_rises_to_nearly_one(fp16_path: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    request = EngineRequest(
        target="sm120", timing_cache_dir=tmp_path, on_step=lambda share, phase: shares.append(share)
    )
    engine_from_onnx(fp16_path, engine_variant(), tmp_path / "model.plan", request)
    assert len(shares) > 100
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1


def test_static_batch_is_refused(toy_path: Path, tmp_path: Path) -> None:
    model = onnx.load(toy_path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "static.onnx")
    with pytest.raises(ExportError, match=r"input 'frames' has the shape \[1, 32, 32, 3\].*dynamic first dimension"):
        build(tmp_path / "static.onnx", tmp_path / "1" / "model.plan")


def test_stopped_build_ends_soon_and_leaves_nothing(fp16_path: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    begun: list[float] = []

    def stop_at_once(share: float, phase: str) -> None:
        begun.append(time.monotonic())
        stop.set()

    request = EngineRequest(target="sm120", timing_cache_dir=tmp_path / "t", on_step=stop_at_once, stop=stop)
    with pytest.raises(ExportError, match="was stopped; nothing was written"):
        engine_from_onnx(fp16_path, engine_variant(), tmp_path / "1" / "model.plan", request)
    assert time.monotonic() - begun[0] < 30
    assert not (tmp_path / "1").exists()


def test_ctrl_c_ends_the_build(fp16_path: Path, tmp_path: Path) -> None:
    """A real SIGINT into this process in the middle of a build."""
    sent: list[float] = []

    def interrupt(share: float, phase: str) -> None:
        if share > 0.1 and not sent:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    request = EngineRequest(target="sm120", timing_cache_dir=tmp_path / "timing", on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine_from_onnx(fp16_path, engine_variant(), tmp_path / "1" / "model.plan", request)
    assert time.monotonic() - sent[0] < 30
    assert not (tmp_path / "1").exists()


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_timing_cache_is_kept_and_a_broken_one_begun_again(tmp_path: Path, rtx: TensorRTLibrary) -> None:
    """The calls that a `tensorrt` build makes, on tensorrt_rtx's config, which still has them."""
    config = rtx.module.Builder(tensorrt_logger(rtx)).create_builder_config()
    path = tmp_path / "timing" / "t.timing"
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    assert attach_timing_cache(config, path) is not None
    keep_timing_cache(config, path)
    kept = path.read_bytes()
    assert kept not in (b"", b"nonsense")
    assert attach_timing_cache(config, path) is not None
    assert timing_cache_name(rtx, "sm120", "NVIDIA GeForce RTX 5070").endswith("-sm120-nvidia-geforce-rtx-5070.timing")


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_timing_cache_that_cannot_be_kept_is_no_failure(
    tmp_path: Path, rtx: TensorRTLibrary, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in_the_way").touch()
    config = rtx.module.Builder(tensorrt_logger(rtx)).create_builder_config()
    attach_timing_cache(config, tmp_path / "in_the_way" / "t.timing")
    keep_timing_cache(config, tmp_path / "in_the_way" / "t.timing")
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize(
    ("buckets", "profile"), [((1, 2, 4, 8, 16, 32), (1, 8, 32)), ((1, 2, 4, 8), (1, 2, 8)), ((1,), (1, 1, 1))]
)
def test_profile_comes_from_the_buckets(buckets: tuple[int, ...], profile: tuple[int, int, int]) -> None:
    assert profile_from_buckets(buckets) == profile
