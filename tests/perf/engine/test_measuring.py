"""The bare loops: what they refuse, and that an execution is finished when it returns."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import onnxruntime
import pytest

from photofinish.errors import ConfigError
from photofinish.perf.engine import loops as engine
from photofinish.perf.engine import measuring
from photofinish.perf.engine.loops import Artifact, loop_from_artifact
from photofinish.perf.engine.measuring import measure_engines
from photofinish.perf.record.record import Section
from photofinish.perf.report.words import ENGLISH
from tests.builders import build_card
from tests.perf.toy_repository import write_toy_repository


def _artifact(folder: Path, **card: object) -> Artifact:
    return Artifact(card=build_card(**card), directory=folder / "toy_onnx_fp32" / "1")


@pytest.mark.parametrize(
    ("card", "batch_size", "said"),
    [
        ({"backend": "tensorrt"}, 1, r"model\.plan does not exist; run `photofinish export`"),
        ({"backend": "openvino", "batch_buckets": (1, 2)}, 4, "batches of 2 at most"),
        ({"device": "cuda"}, 1, "no CUDA provider"),
        ({"backend": "pytorch", "device": "cuda"}, 1, r"model\.pt does not exist; run `photofinish export`"),
        ({"backend": "pytorch"}, 1, r"model\.pt does not exist; run `photofinish export`"),
    ],
)
def test_what_cannot_run_here_is_said(tmp_path: Path, card: dict[str, object], batch_size: int, said: str) -> None:
    write_toy_repository(tmp_path)
    if card.get("device") == "cuda" and _has_gpu():
        pytest.skip("a GPU is there")
    section = measure_engines([_artifact(tmp_path, **card)], batch_sizes=[batch_size], on_progress=lambda line: None)
    (item,) = section.not_run
    assert re.search(said, ENGLISH.why(item))


def test_every_artifact_and_batch_is_measured_or_said_why_not(tmp_path: Path) -> None:
    write_toy_repository(tmp_path)
    lines: list[str] = []
    section = measure_engines(
        [_artifact(tmp_path, batch_buckets=(1, 4)), _artifact(tmp_path, variant="other", backend="tensorrt")],
        batch_sizes=(1, 4, 8),
        seconds=0.05,
        on_progress=lines.append,
    )
    assert [arm.batch_size for arm in section.arms] == [1, 4]
    assert [ENGLISH.subject(item) for item in section.not_run] == [
        "toy_onnx_fp32, batch 8", "other, batch 1", "other, batch 4", "other, batch 8",
    ]  # fmt: skip
    assert all(block.samples.completed_count > 0 for block in section.blocks)
    assert section.blocks[1].samples.frames_per_request == 4
    assert section.blocks[0].observed.other_cpu_cores is not None
    assert any("not run" in line for line in lines)


def _failing_loop(error: BaseException, *, after: int) -> engine.Loop:
    calls = itertools.count()

    def run() -> None:
        if next(calls) >= after:
            raise error

    return run


@pytest.mark.parametrize("after", [0, 8], ids=["warming up", "measuring"])
def test_an_engine_that_fails_is_one_line_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    write_toy_repository(tmp_path)
    error = RuntimeError("CUDA out of memory.\nTried to allocate")
    monkeypatch.setitem(engine._LOOPS, "openvino", lambda artifact, pixels: _failing_loop(error, after=after))  # type: ignore[arg-type]
    failing = _artifact(tmp_path, variant="toy_openvino", backend="openvino")
    section = measure_engines([failing, _artifact(tmp_path)], seconds=0.05, on_progress=lambda line: None)
    assert [arm.model for arm in section.arms] == ["toy_onnx_fp32"]
    (item,) = section.not_run
    assert ENGLISH.why(item) == "RuntimeError: CUDA out of memory. Tried to allocate"


def test_ctrl_c_is_told_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy_repository(tmp_path)
    loop = _failing_loop(KeyboardInterrupt(), after=8)
    monkeypatch.setitem(engine._LOOPS, "onnxruntime", lambda artifact, pixels: loop)  # type: ignore[arg-type]
    sections: list[Section] = []
    with pytest.raises(KeyboardInterrupt):
        measure_engines([_artifact(tmp_path)], seconds=5, on_progress=lambda line: None, on_section=sections.append)
    assert (sections[-1].complete, sections[-1].stopped_by) == (False, "Ctrl-C")


def test_a_missing_library_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(engine.importlib, "import_module", missing)
    write_toy_repository(tmp_path)
    with pytest.raises(ConfigError, match=r"onnxruntime is not installed; run `pip install 'photofinish\[server\]'`"):
        loop_from_artifact(_artifact(tmp_path), 1, 0)


def test_tf32_is_off_unless_all_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    cards = [build_card(device="cuda", tf32=value) for value in (False, True)]
    with pytest.raises(ConfigError, match="in two runs"):
        measuring._settle_tf32(cards)
    measuring._settle_tf32([build_card(), cards[1]])
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    measuring._settle_tf32(cards[:1])
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def test_the_bare_loop_does_not_measure_cuda_in_place_of_tensorrt(toy_path: Path) -> None:
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the provider")
    card = build_card(variant="toy_onnx_fp16_trt", device="cuda", accelerator="tensorrt", batch_buckets=(1, 8))
    with pytest.raises(ConfigError, match="has no TensorRT provider; install onnxruntime-gpu"):
        loop_from_artifact(Artifact(card=card, directory=toy_path.parent), 1, 0)
