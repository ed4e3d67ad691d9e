"""The evidence: one JSON file that every table and picture is redrawn from.

Record
└── sections            one measured thing each: comparison, rivals, ladder, sweep, engine, trace
    ├── arms            what was measured: model, transport, concurrency, batch
    └── blocks          when it was measured: raw samples and what was observed meanwhile
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import tempfile
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from photofinish.errors import ConfigError, said_of_file
from photofinish.machine.disk import why_not_written
from photofinish.perf.record.changes import Change, NotRun
from photofinish.perf.record.codec import value_from_json
from photofinish.perf.record.migration import values_from_schema_1
from photofinish.perf.record.observation import Observation
from photofinish.perf.record.samples import Samples

SCHEMA_VERSION = 2
MIN_ROUNDS = 5
"""Blocks a side below which no interval is trusted."""

SectionKind = Literal["comparison", "rivals", "ladder", "sweep", "engine", "trace"]
LoadMode = Literal["closed", "open", "pipeline", "loop"]
Generator = Literal["photofinish", "perf_analyzer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One thing that was measured. key is unique in its section.

    It goes by its label where it has one, else by its rung of the ladder, else by its model and load. changes: what
    differs from the rung before. span: "frame" when letterbox and decoding are inside, "request" when prepared tensors
    were sent, "engine" without a server. untrained: the weights are random, speed only. accuracy: the gate's figures,
    {} when not measured. input_wh: of the model in pixels, (0, 0) in older records. agreement: how far its boxes are
    those of another arm, {} where nobody looked. unpruned_sha256: of the weights that its own were pruned from, or "".
    """

    key: str
    model: str
    label: str = ""
    rung: str = ""
    role: str = ""
    backend: str = ""
    precision: str = ""
    contract: str = ""
    device: str = ""
    transport: str = ""
    concurrency: int = 1
    batch_size: int = 1
    span: Literal["frame", "request", "engine"] = "frame"
    generator: Generator = "photofinish"
    changes: tuple[Change, ...] = ()
    untrained: bool = False
    tf32: bool = False
    weights: str = ""
    weights_sha256: str = ""
    unpruned_sha256: str = ""
    bytes_per_request: int = 0
    input_wh: tuple[int, int] = (0, 0)
    accuracy: dict[str, Any] = field(default_factory=dict)
    agreement: dict[str, Any] = field(default_factory=dict)

    def is_of_same_network(self, other: Arm) -> bool:
        """Whether weights and size of input agree, as far as both are known: else a gain is one between networks."""
        pairs = ((self.weights_sha256, other.weights_sha256), (max(self.input_wh), max(other.input_wh)))
        return all(not one or not two or one == two for one, two in pairs)

    def is_pruned_from(self, other: Arm) -> bool:
        """Whether its weights were made from the other's: a gain then counts what went, and is said to."""
        return bool(self.unpruned_sha256) and self.unpruned_sha256 == other.weights_sha256

    @property
    def name(self) -> str:
        """What a line of progress calls it."""
        return self.label or self.rung or self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One stretch of load on one arm. round pairs the blocks of all arms; began_ns counts from the section's start.

    stages_ns: where a request's time went, one list per stage, where the client measured it.
    reported: figures that perf_analyzer's own CSV gave, by its column names.
    """

    arm: str
    round: int
    began_ns: int
    samples: Samples
    observed: Observation = field(default_factory=Observation)
    stages_ns: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reported: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How requests arrive. rate_rps and arrivals for open loops; block_s is one block's length."""

    mode: LoadMode
    block_s: float
    rounds: int = 1
    rate_rps: float = 0.0
    arrivals: str = ""
    seed: int = 0


TIME_UP = "the time was up before its first round; raise --minutes"
"""`Section.stopped_by` of a part that nobody stopped: those before it took the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One measured thing. arms[0] is what the others are compared with. complete: it ran to its end.

    ended_by: `enough` where it went on until every arm carried a P95, `time` where the time was up before or there was
    no such aim; "" where it ran the rounds that were planned.
    """

    kind: SectionKind
    name: str
    load: Load
    arms: tuple[Arm, ...]
    blocks: tuple[Block, ...]
    not_run: tuple[NotRun, ...] = ()
    complete: bool = True
    stopped_by: str = ""
    ended_by: str = ""

    def blocks_of(self, key: str) -> tuple[Block, ...]:
        """The blocks of one arm, by round."""
        return tuple(sorted((block for block in self.blocks if block.arm == key), key=lambda block: block.round))


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """What the load generator itself cost on this machine: P95 with a sender that does nothing."""

    closed_loop_p95_ns: int
    open_loop_p95_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A whole run. limits: what the verdict must hold against, e.g. {"min_speedup": 3}. command: to repeat it."""

    command: str
    created_utc: str
    environment: dict[str, Any]
    source: dict[str, Any]
    sections: tuple[Section, ...]
    harness: Harness | None = None
    limits: dict[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def is_complete(self) -> bool:
        """Whether every section ran to its end."""
        return bool(self.sections) and all(section.complete for section in self.sections)

    def with_section(self, section: Section) -> Record:
        """The record with one more section, or with this one in the place of the section of the same name."""
        others = tuple(item for item in self.sections if item.name != section.name)
        return replace(self, sections=(*others, section))


def json_from_record(record: Record) -> str:
    """The record as one line of JSON text."""
    return json.dumps(asdict(record), ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"


def require_writable(path: Path) -> None:
    """Raise ConfigError now, not after minutes of measuring, when no record can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as exc:
        raise ConfigError(why_not_written(path, exc, "choose another place with --out")) from exc


def write_record(record: Record, path: Path) -> None:
    """Write the file in one step: a reader sees the old or the new one, never a half."""
    write_whole(json_from_record(record), path)


def write_whole(text: str, path: Path) -> None:
    """Write a file in one step. Raises ConfigError when it cannot be written."""
    partial = path.with_name(f".record-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as exc:
        raise ConfigError(why_not_written(path, exc, "choose another place with --out")) from exc
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def keep_earlier(path: Path) -> Path | None:
    """Where a whole record that lies at `path` was copied to, before a run that may be stopped takes its place.

    None where there is none, or one that was itself stopped: a copy of a whole one is then left as it is.
    """
    try:
        sections = read_record(path).sections
    except ConfigError:
        return None
    if not sections or not all(section.complete for section in sections):
        return None
    name, _, suffixes = path.name.partition(".")
    kept = path.with_name(f"{name}.before.{suffixes}")
    with contextlib.suppress(OSError):  # a full disk is told where the new record is written
        shutil.copy2(path, kept)
        return kept
    return None


IN_ROUNDS: tuple[SectionKind, ...] = ("comparison", "rivals", "ladder")
"""Sections in which every arm has a block in each round."""
GZIP_MAGIC = b"\x1f\x8b"


def read_record(path: Path) -> Record:
    """The record in a file, gzipped or not, of any schema version so far.

    Raises ConfigError that says what is wrong with it.
    """
    try:
        raw = path.read_bytes()
        values = json.loads(
            gzip.decompress(raw) if raw.startswith(GZIP_MAGIC) else raw, parse_constant=_refuse_constant
        )
    except (OSError, ValueError, EOFError, zlib.error) as exc:
        raise ConfigError(
            f"{path} cannot be read as a record: {said_of_file(exc)}; give a JSON file that `photofinish perf` wrote"
        ) from exc
    version = values.get("schema_version") if isinstance(values, dict) else None
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise ConfigError(
            f"{path} has schema_version {version!r}, this version of Photofinish reads 1 to {SCHEMA_VERSION}; "
            "use the version that wrote it, or measure again"
        )
    record = value_from_json(Record, values_from_schema_1(values, path.name) if version == 1 else values, path.name)
    names = [section.name for section in record.sections]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path.name}: two sections of one name, got {names!r:.200}; runs cannot be put together")
    for section in record.sections:
        if fault := _fault_of_section(section):
            raise ConfigError(f"{path.name}: {section.name}: {fault}")
    return record


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _fault_of_section(section: Section) -> str:
    """What no run can have written: blocks of nobody, a round twice or left out, a block twice; "" for nothing."""
    keys = [arm.key for arm in section.arms]
    if len(set(keys)) < len(keys) or not {block.arm for block in section.blocks} <= set(keys):
        return f"every block must be of one arm, got arms {keys!r:.200}"
    for arm in section.arms:
        blocks = section.blocks_of(arm.key)
        rounds = [block.round for block in blocks]
        if len(set(rounds)) < len(rounds):
            return f"{arm.key} has two blocks of one round; measure again"
        planned = list(range(section.load.rounds))
        if section.kind in IN_ROUNDS and section.complete and rounds != planned:
            return f"{arm.key} has blocks of {len(rounds)} rounds where {len(planned)} were measured; measure again"
        times = [block.samples.done_ns for block in blocks if block.samples.request_count > 1]
        if len(set(times)) < len(times):
            return f"two blocks of {arm.key} have the same requests; measure again"
        if not all(block.samples.is_possible for block in blocks):
            return f"{arm.key} has requests out of order, or outside their block; measure again"
        if any(block.samples.frames_per_request != arm.batch_size for block in blocks):
            return f"{arm.key} has {arm.batch_size} images in a request, its blocks have another number; measure again"
    return ""
