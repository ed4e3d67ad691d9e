"""The sidecar beside a TensorRT engine: what it was built from, by what and for which GPU."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from photofinish.errors import ModelRepositoryError
from photofinish.source_hash import sha256_from_file

RECORD_SCHEMA_VERSION = 1
LibraryName = Literal["tensorrt", "tensorrt_rtx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """What a TensorRT engine is.

    target: the GPU architecture, e.g. "sm120"; gpu_name: the GPU it was built on, "" when built without one.
    profile: smallest, preferred and largest batch. onnx_sha256: the graph it was built from.
    weight_shares: share of the weights per precision, as read from the strongly typed network.
    layer_outputs: how many of its layers, of any kind but constants and conversions, give each precision.
    calibration_sha256: the INT8 calibration's hash, "" without one. rebuild: the command that makes it again.
    """

    engine_sha256: str
    engine_bytes: int
    library: LibraryName
    library_version: str
    target: str
    gpu_name: str
    onnx_sha256: str
    precision: str
    profile: tuple[int, int, int]
    tf32: bool
    weight_shares: dict[str, float] = field(default_factory=dict)
    layer_outputs: dict[str, int] = field(default_factory=dict)
    calibration_sha256: str = ""
    build_s: float
    built_at: str
    rebuild: str
    schema_version: int = RECORD_SCHEMA_VERSION


def record_path(engine_path: Path) -> Path:
    """Where an engine's sidecar lies: `model.plan.json` beside `model.plan`."""
    return engine_path.with_name(engine_path.name + ".json")


def write_record(record: EngineRecord, engine_path: Path) -> Path:
    """Write the sidecar in one step, so that no half of it is ever seen."""
    path = record_path(engine_path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(asdict(record), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def record_from_engine(engine_path: Path) -> EngineRecord:
    """The sidecar of an engine. Raises ModelRepositoryError when it is missing, unreadable or of another version."""
    path = record_path(engine_path)
    remedy = "run `photofinish export` for this variant again"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema_version"] != RECORD_SCHEMA_VERSION:
            raise ModelRepositoryError(
                f"{path} has schema_version {values['schema_version']}, expected {RECORD_SCHEMA_VERSION}; {remedy}"
            )
        known = {item.name for item in fields(EngineRecord)}
        values["profile"] = tuple(values["profile"])
        return EngineRecord(**{key: value for key, value in values.items() if key in known})
    except FileNotFoundError as exc:
        raise ModelRepositoryError(f"{engine_path} has no sidecar {path.name} to say what built it; {remedy}") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelRepositoryError(f"the sidecar {path} cannot be read ({exc}); {remedy}") from exc


def engine_mismatches(
    engine_path: Path,
    record: EngineRecord,
    *,
    onnx_sha256: str | None = None,
    precision: str | None = None,
    profile: tuple[int, int, int] | None = None,
    target: str | None = None,
    library: str | None = None,
    library_version: str | None = None,
    calibration_sha256: str | None = None,
) -> tuple[str, ...]:
    """What disagrees between an engine, its sidecar and what is wanted, one short clause each; () when it may be used.

    A wanted value of None is not compared. The engine's own bytes always are.
    """
    found = []
    try:
        actual = sha256_from_file(engine_path)
    except OSError as exc:
        return (f"it cannot be read ({exc.strerror})",)
    if actual != record.engine_sha256:
        found.append(
            f"the file is not the one its sidecar describes (SHA-256 {actual[:12]}, not {record.engine_sha256[:12]})"
        )
    wanted = {
        "onnx_sha256": onnx_sha256,
        "precision": precision,
        "profile": profile,
        "target": target,
        "library": library,
        "library_version": library_version,
        "calibration_sha256": calibration_sha256,
    }
    for key, value in wanted.items():
        if value is not None and getattr(record, key) != value:
            found.append(f"{_WORDS[key]} {_short(getattr(record, key))}, wanted {_short(value)}")
    return tuple(found)


def require_engine(engine_path: Path, **wanted: object) -> EngineRecord:
    """The record of an engine that may be used as `wanted` (see engine_mismatches).

    Raises ModelRepositoryError with everything that disagrees and the one command that rebuilds it.
    """
    record = record_from_engine(engine_path)
    if found := engine_mismatches(engine_path, record, **wanted):  # type: ignore[arg-type]
        raise ModelRepositoryError(f"{engine_path} cannot be used: {'; '.join(found)}. Rebuild it: {record.rebuild}")
    return record


def require_engines(folder: Path, engines: Mapping[str, Mapping[str, str]], *, precision: str) -> None:
    """Raise ModelRepositoryError unless every engine of a model card lies in `folder` and may be used.

    engines: as in ModelCard.engines, by GPU architecture. Nothing is required of a card without engines.
    """
    for target, engine in engines.items():
        require_engine(
            folder / engine["file"],
            target=target,
            precision=precision,
            library=engine["library"],
            library_version=engine["library_version"],
        )


def compute_capability(target: str) -> str:
    """How CUDA and Triton write an architecture: "12.0" for sm120, "8.9" for sm89."""
    return f"{target[2:-1]}.{target[-1]}"


_WORDS = {
    "onnx_sha256": "built from the ONNX file",
    "precision": "built in",
    "profile": "built for the batches",
    "target": "built for the GPU",
    "library": "built by",
    "library_version": "built by version",
    "calibration_sha256": "calibrated with",
}


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(str(item) for item in value)
    return str(value)[:12] or "nothing"
