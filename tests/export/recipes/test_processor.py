from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.errors import ExportError
from photofinish.export.build import stage_variants
from photofinish.export.recipes import table as recipes
from photofinish.export.recipes.table import processor_flags
from tests.export.conftest import CHECKOUT, SIZE


def test_flags_are_read(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu amx_bf16 avx2\nbugs\t\t: x\n")
    assert processor_flags(cpuinfo) == {"fpu", "amx_bf16", "avx2"}
    assert processor_flags(tmp_path / "missing") == set()


def _stage(tmp_path: Path, *names: str) -> list[str]:
    staged = stage_variants(
        "yolo26n.yaml",
        variants_path=CHECKOUT / "variants.toml",
        names=names,
        device="cpu",
        input_size=SIZE,
        staging=tmp_path,
        on_progress=print,
    )
    return [item.variant.suffix for item in staged]


def test_bf16_needs_a_processor_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "processor_flags", lambda: {"avx2"})
    with pytest.raises(ExportError, match="openvino_bf16 was asked for, but this processor has none of amx_bf16"):
        _stage(tmp_path, "openvino_bf16")
    monkeypatch.setattr(recipes, "processor_flags", lambda: {"avx2", "amx_bf16"})
    assert _stage(tmp_path, "openvino_bf16") == ["openvino_bf16"]
    config = (tmp_path / "yolo26n" / "yolo26n_openvino_bf16" / "config.pbtxt").read_text()
    assert 'default_model_filename: "model.onnx"' in config
