from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from photofinish.errors import ExportError
from photofinish.export.recipes import table as recipes
from photofinish.export.recipes.table import _expect_same_in_batch, trace_network
from photofinish.machine.processor import processor_flags
from photofinish.variant import Variant
from tests.export.conftest import stage_tiny


def test_flags_are_read(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu amx_bf16 avx2\nbugs\t\t: x\n")
    assert processor_flags(cpuinfo) == {"fpu", "amx_bf16", "avx2"}
    assert processor_flags(tmp_path / "missing") == set()


def test_bf16_needs_a_processor_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "processor_flags", lambda: {"avx2"})
    with pytest.raises(ExportError, match="openvino_bf16 was asked for, but this processor has none of amx_bf16"):
        stage_tiny(tmp_path, names=("openvino_bf16",))
    monkeypatch.setattr(recipes, "processor_flags", lambda: {"avx2", "amx_bf16"})
    assert [item.variant.suffix for item in stage_tiny(tmp_path, names=("openvino_bf16",))] == ["openvino_bf16"]
    config = (tmp_path / "yolo26n" / "yolo26n_openvino_bf16" / "config.pbtxt").read_text()
    assert 'default_model_filename: "model.onnx"' in config


def test_a_trace_tied_to_its_device_is_refused(variants: dict[str, Variant], tmp_path: Path) -> None:
    class _Tied(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + torch.zeros(1, device=images.device)

    with pytest.raises(ExportError, match=r"tensors on a fixed device \(aten::zeros\)"):
        trace_network(_Tied(), torch.zeros(1, 3, 4, 4), tmp_path / "model.pt", variants["torch_fp32"])
    assert not (tmp_path / "model.pt").exists()


def test_a_batch_that_repeats_its_first_picture_is_found() -> None:
    """Its best value, a coordinate near the edge of the input, is nearly the same in every picture."""
    rows = np.zeros((2, 300, 6), np.float32)
    rows[0, 0], rows[1, 0] = (0, 0, 639, 639, 0.9, 1), (5, 5, 100, 638, 0.4, 0)
    raw = np.random.default_rng(0).uniform(0, 640, (2, 84, 50)).astype(np.float32)
    for alone in (rows, raw):
        _expect_same_in_batch("toy", alone.copy(), alone)
        with pytest.raises(ExportError, match="its batch is not dynamic"):
            _expect_same_in_batch("toy", alone[[0, 0]], alone)
    with pytest.raises(ExportError, match="a batch gives shape"):
        _expect_same_in_batch("toy", rows[:1], rows)
