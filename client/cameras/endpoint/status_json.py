"""A cell's status as JSON, and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, get_args

from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.client.cameras.values.status import (
    CameraStatus,
    CellStatus,
    DecodeWay,
    DegradeStep,
    DropCount,
    IngestPhase,
    IngestProblem,
    IngestReport,
    Quality,
)
from photofinish.errors import ConfigError

SCHEMA_VERSION = 1


def json_from_status(status: CellStatus, *, with_lines: bool = False) -> dict[str, Any]:
    """The status, JSON-able: fields as in CellStatus. with_lines: with the cameras' last protocol lines."""
    return {
        **{field.name: getattr(status, field.name) for field in fields(status) if field.name != "cameras"},
        "lost_events": dict(status.lost_events),
        "processes": dict(status.processes),
        "restarts": dict(status.restarts),
        "schema_version": SCHEMA_VERSION,
        "cameras": [json_from_camera(row, with_lines=with_lines) for row in status.cameras],
    }


def json_from_camera(row: CameraStatus, *, with_lines: bool = False) -> dict[str, Any]:
    """A camera's row, JSON-able."""
    ingest = asdict(row.ingest)
    ingest |= {"phase": row.ingest.phase.value, "problem": row.ingest.problem.value}
    if not with_lines:
        ingest["lines"] = []
    count = row.count
    dropped = {cause.value: lost for cause, lost in count.dropped.items()}
    return {
        **{field.name: getattr(row, field.name) for field in fields(row)},
        "ingest": ingest,
        "count": {"due": count.due, "inferred": count.inferred, "dropped": dropped, "pending": count.pending},
    }


def status_from_json(document: object) -> CellStatus:
    """The status of a document. Raises ConfigError when it is none, or one of another release."""
    try:
        if not isinstance(document, dict) or document["schema_version"] != SCHEMA_VERSION:
            raise ConfigError("this is no status of a cell that this release knows")
        rest = _known(CellStatus, document)
        return CellStatus(**{**rest, "cameras": tuple(map(_camera_from_json, rest["cameras"])), "notes": _notes(rest)})
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ConfigError(f"this is no status of a cell: {type(exc).__name__} at {exc}") from exc


def _notes(document: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(note) for note in document.get("notes", ()))


def _camera_from_json(document: dict[str, Any]) -> CameraStatus:
    row = _known(CameraStatus, document)
    ingest = _known(IngestReport, row["ingest"])
    ingest |= {"phase": IngestPhase(ingest["phase"]), "problem": IngestProblem(ingest["problem"])}
    count = _known(DropCount, row["count"])
    count["dropped"] = {CameraDropCause(cause): int(lost) for cause, lost in count["dropped"].items()}
    if row["quality"] not in get_args(Quality) or row["step"] not in get_args(DegradeStep):
        raise ValueError(f"quality {row['quality']!r} or step {row['step']!r}")
    if row.get("decode", "cpu") not in get_args(DecodeWay):
        raise ValueError(f"decode {row['decode']!r}")
    size_wh = tuple(row["size_wh"]) if row.get("size_wh") else None
    _require_numbers(count, ("due", "inferred", "pending"))
    _require_numbers(row, ("priority", "wanted_fps", "served_fps"))
    _require_numbers(row, ("p50_ms", "p95_ms", "p99_ms"), or_none=True)
    _require_numbers(ingest, ("next_try_s", "announced_fps", "measured_fps", "keyframe_interval_s"), or_none=True)
    return CameraStatus(
        **{**row, "ingest": IngestReport(**ingest), "count": DropCount(**count), "size_wh": size_wh},
    )


def _require_numbers(document: dict[str, Any], names: tuple[str, ...], *, or_none: bool = False) -> None:
    for name in names:
        value = document[name]
        if not (isinstance(value, (int, float)) or (or_none and value is None)):
            raise ValueError(f"{name} {value!r}")


def _known(kind: Any, document: dict[str, Any]) -> dict[str, Any]:
    """The fields that this release knows."""
    return {field.name: document[field.name] for field in fields(kind) if field.name in document}
