"""The evidence of a search for the most cameras: every step that was run, in order, with its raw latencies."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from photofinish.errors import ConfigError
from photofinish.perf.record.cameras import CamerasStep, json_from_file
from photofinish.perf.record.codec import value_from_json
from photofinish.perf.record.environment import ENGINE_PACKAGES
from photofinish.perf.record.record import write_whole

FIND_SCHEMA_VERSION = 1
FIND_KIND = "cameras-find"
Purpose = Literal["search", "confirm", "above", "keyframes", "reconnects"]
"""search: one probe of doubling and bisecting. confirm: a long probe of what was found. above: a tenth more, which must
miss. keyframes, reconnects: the hard runs, all keyframes at once and a fifth of the cameras cut every 30 s."""
HARD: tuple[Purpose, ...] = ("keyframes", "reconnects")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindProbe:
    """One step. apart: cameras that were disturbed on purpose. overhead_s: what it took beside its window."""

    purpose: Purpose
    step: CamerasStep
    apart: tuple[str, ...] = ()
    overhead_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRecord:
    """A search, over or not. stream: what each camera sends; wanted_fps: what is inferred of each.

    goal: p99_ms and max_drops. search: start, most, precision and so on, as the search took them. seconds: of a probe,
    confirm_seconds: of the confirmation. gpus: over which the cameras are spread, as the driver numbers them. decode:
    what was asked to decode, as of `cameras run`. weights_sha256: of the variant, whose name another network may take;
    "" in older records.
    """

    command: str
    created_utc: str
    environment: dict[str, Any]
    variant: str
    stream: dict[str, Any]
    wanted_fps: float
    goal: dict[str, float]
    search: dict[str, Any]
    seconds: float
    confirm_seconds: float
    probes: tuple[FindProbe, ...] = ()
    accuracy: dict[str, Any] = field(default_factory=dict)
    gpus: tuple[int, ...] = ()
    decode: str = "auto"
    weights_sha256: str = ""
    kind: str = FIND_KIND
    schema_version: int = FIND_SCHEMA_VERSION

    def with_probe(self, probe: FindProbe) -> FindRecord:
        """The record with one probe more."""
        return replace(self, probes=(*self.probes, probe))

    def settings(self) -> dict[str, Any]:
        """What must be the same for a search to go on: of the wish, and of the machine."""
        machine = {key: self.environment.get(key) for key in ("cpu", "cpu_cores", "driver", "photofinish")}
        packages = self.environment.get("packages") or {}
        machine["packages"] = {key: packages[key] for key in ENGINE_PACKAGES if key in packages}
        machine["gpus"] = [gpu.get("name") for gpu in self.environment.get("gpus") or []]
        names = ("variant", "wanted_fps", "goal", "seconds", "confirm_seconds", "decode")
        wish = {name: getattr(self, name) for name in names}
        wish["goal"] = {"min_gpu_decode": 0.0, **self.goal}  # which older records do not have
        stream = {**self.stream, "size_wh": list(self.stream["size_wh"])}
        return {**wish, "stream": stream, "search": self.search, "machine": machine, "gpus": list(self.gpus)} | (
            {"weights": self.weights_sha256} if self.weights_sha256 else {}
        )


def write_find_record(record: FindRecord, path: Path) -> None:
    """Write the file in one step. Raises ConfigError when it cannot be written."""
    write_whole(json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n", path)


def read_find_record(path: Path) -> FindRecord:
    """The record in a file, gzipped or not. Raises ConfigError that says what is wrong with it."""
    values = json_from_file(path)
    is_ours = isinstance(values, dict) and values.get("kind") == FIND_KIND
    if not is_ours or values.get("schema_version") != FIND_SCHEMA_VERSION:
        raise ConfigError(f"{path} is no record that this version's `photofinish perf cameras --find` wrote")
    return value_from_json(FindRecord, values, path.name)


def is_find_file(path: Path) -> bool:
    """Whether a file is a record of a search; whatever else is wrong with it is its reader's."""
    try:
        values = json_from_file(path)
    except ConfigError:
        return False
    return isinstance(values, dict) and values.get("kind") == FIND_KIND
