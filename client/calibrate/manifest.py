"""What a calibration folder holds: `manifest.json` beside `frames/`, written so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from photofinish.errors import ConfigError
from photofinish.machine.disk import why_not_written

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
ELSEWHERE = "choose another --out folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """One picture of the set. file: relative to the folder; index: within its source; picture_hash: hexadecimal."""

    file: str
    source: str
    index: int
    picture_hash: str
    sha256: str


@dataclass(slots=True, kw_only=True)
class SourceState:
    """How far one source has been gone through. slots: parts of it, each giving at most one picture."""

    name: str
    slots: int
    next_slot: int = 0
    duplicates: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every slot was visited."""
        return self.next_slot >= self.slots


@dataclass(slots=True, kw_only=True)
class Manifest:
    """The state of a calibration folder. sources: by key, which does not hold the address (it may have a password)."""

    sources: dict[str, SourceState] = field(default_factory=dict)
    frames: list[KeptFrame] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write it, in one rename."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "sources": {key: asdict(state) for key, state in self.sources.items()},
            "frames": [asdict(frame) for frame in self.frames],
        }
        replace_file(folder / MANIFEST_NAME, (json.dumps(document, indent=1) + "\n").encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one rename. Raises ConfigError, and leaves nothing, when the disk is full or refuses."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as exc:
        with suppress(OSError):
            temporary.unlink()
        raise ConfigError(why_not_written(path, exc, ELSEWHERE)) from exc


def manifest_from_folder(folder: Path) -> Manifest:
    """The folder's manifest, empty when there is none; frames whose file is gone are forgotten.

    Raises ConfigError when the file is not one of ours.
    """
    path = folder / MANIFEST_NAME
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["schema_version"] != SCHEMA_VERSION:
            raise ConfigError(f"{path} has schema_version {document['schema_version']}, expected {SCHEMA_VERSION}")
        return Manifest(
            sources={key: SourceState(**state) for key, state in document["sources"].items()},
            frames=[KeptFrame(**item) for item in document["frames"] if (folder / item["file"]).is_file()],
        )
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(
            f"{path} is not a calibration manifest ({exc}); choose another --out folder or remove the file"
        ) from exc


def source_key(spec: str, name: str) -> str:
    """A key for a source that tells two files of one name apart and hides the address."""
    return f"{name}#{hashlib.sha256(os.fsencode(spec)).hexdigest()[:12]}"
