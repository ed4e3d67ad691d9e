"""Staged variants into the model repository."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from photofinish.engine_record import require_engines
from photofinish.errors import ModelRepositoryError
from photofinish.export.publishing.cards import card_from_directory, rewrite_card
from photofinish.export.publishing.staging import StagedVariant, copy_variant, replaced_directory, told_when_full


def publish_variants(
    staged: Iterable[StagedVariant], repository: Path, *, clock_ns: Callable[[], int] = time.time_ns
) -> tuple[str, ...]:
    """Copy each staged variant into the repository, one rename each; the published names. Their cards say when.

    Variants of the same model that other weights made are withdrawn: comparing them with these would be wrong.
    Directories without our card are never touched: one in the way raises ModelRepositoryError, and so does an engine
    that is not what its sidecar and its card say. A full disk raises ExportError and leaves what was there.
    """
    variants, now_ns = list(staged), clock_ns()
    for item in variants:
        target = repository / item.variant.name
        if target.exists() and card_from_directory(target) is None:
            raise ModelRepositoryError(
                f"{target} exists and was not made by Photofinish; move it away, or export under another --model-name"
            )
        require_engines(item.directory / "1", item.card.engines, precision=item.card.precision)
    for item in variants:
        with told_when_full(repository), replaced_directory(repository / item.variant.name) as directory:
            copy_variant(item.directory, directory)
            rewrite_card(directory, replace(item.card, published_ns=now_ns))
    hashes = {item.card.model: item.card.weights_sha256 for item in variants}
    for directory in _directories(repository):
        card = card_from_directory(directory)
        if card and card.model in hashes and card.weights_sha256 != hashes[card.model]:
            shutil.rmtree(directory)
    return tuple(item.variant.name for item in variants)


def withdraw_variant(name: str, repository: Path) -> bool:
    """Remove a variant of ours from the repository; False when there is none."""
    directory = repository / name
    if not directory.is_dir() or card_from_directory(directory) is None:
        return False
    shutil.rmtree(directory)
    return True


def _directories(repository: Path) -> list[Path]:
    return sorted(path for path in repository.iterdir() if path.is_dir()) if repository.is_dir() else []
