"""The staging folder: finished variants, each with the fingerprint of everything that went into it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from photofinish.engine_record import require_engines
from photofinish.errors import ExportError, ModelRepositoryError
from photofinish.export.publishing.cards import RECORD_NAME
from photofinish.export.publishing.exchange import put_in_place
from photofinish.machine.disk import free_text, reason_if_full
from photofinish.machine.scratch import scratch_folder
from photofinish.model_card import ModelCard, card_from_parameter
from photofinish.source_hash import ROOT, source_files, source_hash
from photofinish.variant import Variant

EXPORTERS = ("torch", "ultralytics", "onnx", "onnxruntime", "onnxruntime-gpu", "torchvision")
"""Packages whose version decides what an artifact is."""
WORK_NAME = ".work"
"""The folder in the staging folder where everything unfinished lies; its owner empties it before it begins."""
CODE = ("export", "photofinish")
WITHOUT = ("photofinish/commands", "photofinish/flows")


@dataclass(frozen=True)
class StagedVariant:
    """One variant in the staging folder. rebuilt: made by this run, not found fresh."""

    variant: Variant
    directory: Path
    card: ModelCard
    rebuilt: bool


def fingerprint(variant: Variant, settings: Mapping[str, object]) -> str:
    """A hash of all that decides the artifact and its config: variant, settings, exporters' versions, this code."""
    content = {
        "variant": asdict(variant),
        "settings": dict(settings),
        "versions": {name: _version(name) for name in EXPORTERS},
        "code": code_hash(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def code_hash(root: Path = ROOT) -> str:
    """A hash of the source files that decide artifacts and cards: export/, the vocabulary, the synthetic camera."""
    return source_hash(source_files(CODE, without=WITHOUT, root=root), root)


def folder_fingerprint(folder: Path) -> str:
    """A cheap hash of a folder's files: their names, sizes and times of change."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        state = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def fresh_card(directory: Path, wanted_fingerprint: str) -> ModelCard | None:
    """The card of a staged variant that was made from exactly this; None when it is missing, stale or incomplete."""
    try:
        record = json.loads((directory / RECORD_NAME).read_text(encoding="utf-8"))
        if record["fingerprint"] != wanted_fingerprint:
            return None
        card = card_from_parameter(json.dumps(record["card"]))
        require_engines(directory / "1", card.engines, precision=card.precision)
    except (OSError, ValueError, KeyError, TypeError, ModelRepositoryError):
        return None
    return card if record.get("files") == _file_sizes(directory) else None


def _file_sizes(directory: Path) -> dict[str, int]:
    """Size of every artifact file, by its path; the config and the record may be rewritten."""
    return {
        str(path.relative_to(directory)): path.stat().st_size
        for path in sorted((directory / "1").rglob("*"))
        if path.is_file()
    }


def write_record(directory: Path, made_fingerprint: str, card: ModelCard) -> None:
    """Write the fingerprint and the card beside the artifact."""
    record: dict[str, Any] = {
        "fingerprint": made_fingerprint,
        "card": asdict(card),
        "files": _file_sizes(directory),
    }
    (directory / RECORD_NAME).write_text(json.dumps(record, indent=1), encoding="utf-8")


@contextmanager
def replaced_directory(target: Path, work: Path) -> Iterator[Path]:
    """A new empty folder that takes `target`'s place when the block ends, and vanishes when it raises.

    work: where it is made, on the same file system; made where it is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    with scratch_folder(work) as folder:
        made = folder / target.name
        made.mkdir()
        yield made
        put_in_place(made, target, folder / "replaced")


def copy_variant(source: Path, target: Path, on_step: Callable[[str], None] = lambda step: None) -> None:
    """Copy a staged variant's config and versions (not its record) into an empty folder."""
    for item in sorted(source.iterdir()):
        if item.is_dir():
            shutil.copytree(item, target / item.name)
        elif item.name != RECORD_NAME:
            shutil.copy2(item, target / item.name)
        on_step(f"{item.name} of {target.name} copied")


@contextmanager
def told_when_full(*folders: Path) -> Iterator[None]:
    """Turn a library's "no space left" into an ExportError with what is free in `folders`."""
    try:
        yield
    except OSError as exc:
        reason = reason_if_full(exc)
        if not reason:
            raise
        free = ", ".join(dict.fromkeys(free_text(folder) for folder in folders))
        raise ExportError(
            f"a file cannot be written: {reason} ({free}); free some space, or choose other folders with --staging, "
            "--repository and the variable TMPDIR. No half-made variant was left behind"
        ) from exc
