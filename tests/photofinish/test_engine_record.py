"""The sidecar: written whole, read back, and a mismatch refused with the command that rebuilds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from photofinish.engine_record import (
    EngineRecord,
    record_from_engine,
    record_path,
    require_engine,
    require_engines,
    write_record,
)
from photofinish.errors import ModelRepositoryError
from photofinish.export.publishing import staging
from photofinish.export.publishing.publish import publish_variants
from tests.builders import build_card
from tests.export.tensorrt.variants import engine_variant


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "model.plan"
    path.write_bytes(b"engine")
    record = EngineRecord(
        engine_sha256=hashlib.sha256(b"engine").hexdigest(),
        engine_bytes=6,
        library="tensorrt_rtx",
        library_version="1.7.1.116",
        target="sm120",
        gpu_name="",
        onnx_sha256="a" * 64,
        precision="fp16",
        profile=(1, 8, 32),
        tf32=False,
        weight_shares={"fp16": 1.0},
        build_s=1.5,
        built_at="2026-11-20T23:00:00+00:00",
        rebuild="photofinish export --weights yolo26n.pt --variant trt_fp16 --target sm120",
    )
    write_record(record, path)
    return path


def test_record_comes_back_as_written(engine: Path) -> None:
    record = record_from_engine(engine)
    assert (record.profile, record.target, record.weight_shares) == ((1, 8, 32), "sm120", {"fp16": 1.0})
    assert [path.name for path in engine.parent.iterdir() if path.name.startswith(".")] == []


def test_engine_that_fits_is_accepted(engine: Path) -> None:
    assert require_engine(engine, target="sm120", precision="fp16", library="tensorrt_rtx").engine_bytes == 6


@pytest.mark.parametrize(
    ("wanted", "clause"),
    [
        ({"target": "sm89"}, "built for the GPU sm120, wanted sm89"),
        ({"precision": "int8"}, "built in fp16, wanted int8"),
        ({"profile": (1, 4, 16)}, "built for the batches 1/8/32, wanted 1/4/16"),
        ({"onnx_sha256": "b" * 64}, "built from the ONNX file aaaaaaaaaaaa, wanted bbbbbbbbbbbb"),
        ({"library_version": "1.8.0"}, "built by version 1.7.1.116, wanted 1.8.0"),
        ({"library": "tensorrt"}, "built by tensorrt_rtx, wanted tensorrt"),
        ({"calibration_sha256": "c" * 64}, "calibrated with nothing, wanted cccccccccccc"),
    ],
)
def test_mismatch_is_refused_with_the_command(engine: Path, wanted: dict[str, object], clause: str) -> None:
    with pytest.raises(ModelRepositoryError) as caught:
        require_engine(engine, **wanted)
    assert clause in str(caught.value)
    assert "Rebuild it: photofinish export --weights yolo26n.pt --variant trt_fp16" in str(caught.value)


def test_changed_engine_is_refused(engine: Path) -> None:
    engine.write_bytes(b"another")
    with pytest.raises(ModelRepositoryError, match="not the one its sidecar describes"):
        require_engine(engine)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema_version": 1}', "\x00"])
def test_unreadable_sidecar(engine: Path, text: str) -> None:
    record_path(engine).write_text(text, encoding="utf-8")
    with pytest.raises(ModelRepositoryError, match="cannot be read"):
        require_engine(engine)


def test_sidecar_of_a_newer_version(engine: Path) -> None:
    record_path(engine).write_text('{"schema_version": 99}', encoding="utf-8")
    with pytest.raises(ModelRepositoryError, match="schema_version 99, expected 1"):
        require_engine(engine)


def test_missing_sidecar(engine: Path) -> None:
    record_path(engine).unlink()
    with pytest.raises(ModelRepositoryError, match=r"has no sidecar model\.plan\.json"):
        require_engine(engine)


CARD_ENGINES = {"sm120": {"file": "model.plan", "library": "tensorrt_rtx", "library_version": "1.7.1.116"}}


def test_engines_of_a_card(engine: Path) -> None:
    require_engines(engine.parent, CARD_ENGINES, precision="fp16")
    require_engines(engine.parent, {}, precision="fp32")
    with pytest.raises(ModelRepositoryError, match="built in fp16, wanted int8"):
        require_engines(engine.parent, CARD_ENGINES, precision="int8")
    engine.unlink()
    with pytest.raises(ModelRepositoryError, match="cannot be read"):
        require_engines(engine.parent, CARD_ENGINES, precision="fp16")


def test_wrong_engine_is_stale_in_staging_and_never_published(engine: Path, tmp_path: Path) -> None:
    card = build_card(variant="toy_trt_fp16", backend="tensorrt", precision="fp16", engines=CARD_ENGINES)
    staged = tmp_path / "staging" / "toy_trt_fp16"
    (staged / "1").mkdir(parents=True)
    for path in (engine, record_path(engine)):
        path.rename(staged / "1" / path.name)
    staging.write_record(staged, "made from this", card)
    assert staging.fresh_card(staged, "made from this") == card
    (staged / "1" / "model.plan").write_bytes(b"enginX")
    assert staging.fresh_card(staged, "made from this") is None
    item = staging.StagedVariant(variant=engine_variant(), directory=staged, card=card, rebuilt=False)
    with pytest.raises(ModelRepositoryError, match="not the one its sidecar describes"):
        publish_variants([item], tmp_path / "repository")
    assert not (tmp_path / "repository").exists()
