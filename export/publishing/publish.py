"""Staged variants into the model repository: all of them, or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from photofinish.engine_record import require_engines
from photofinish.errors import ModelRepositoryError
from photofinish.export.publishing.cards import card_from_directory, is_ours, rewrite_card
from photofinish.export.publishing.repository import commit, work_on
from photofinish.export.publishing.staging import StagedVariant, copy_variant, told_when_full


def publish_variants(
    staged: Iterable[StagedVariant],
    repository: Path,
    *,
    withdraw: Collection[str] = (),
    on_progress: Callable[[str], None] = lambda line: None,
    on_step: Callable[[str], None] = lambda step: None,
    clock_ns: Callable[[], int] = time.time_ns,
) -> tuple[str, ...]:
    """Copy the staged variants, put all into the repository at once, and give their names. Their cards say when.

    Variants of the same model that other weights made are withdrawn: comparing them with these would be wrong; so are
    those of ours in `withdraw`. However this is interrupted, the repository holds what it held or all that is new, and
    nothing else. Directories without our card are never touched: one in the way raises ModelRepositoryError, and so
    does an engine that is not what its sidecar and its card say, or a repository that cannot be written. A full disk
    raises ExportError. on_step: called between the steps, for tests of interruptions.
    """
    variants, now_ns = list(staged), clock_ns()
    if not variants and not (withdraw and repository.is_dir()):
        return ()
    for item in variants:
        target = repository / item.variant.name
        if target.exists() and not is_ours(target):
            raise ModelRepositoryError(
                f"{target} exists and was not made by Photofinish; move it away, or export under another --model-name"
            )
        require_engines(item.directory / "1", item.card.engines, precision=item.card.precision)
    with work_on(repository, on_progress) as work:
        on_step("begun")
        with told_when_full(repository, work.folder):
            for item in variants:
                (work.new / item.variant.name).mkdir()
                copy_variant(item.directory, work.new / item.variant.name, on_step)
                rewrite_card(work.new / item.variant.name, replace(item.card, published_ns=now_ns))
                on_step(f"{item.variant.name} copied")
            withdrawn = _to_withdraw(variants, repository, withdraw)
            commit(work, withdrawn=withdrawn, on_step=on_step)
    on_step("cleaned")
    for name in sorted(set(withdraw).intersection(withdrawn)):
        on_progress(f"{name}: its earlier version was withdrawn from {repository}")
    return tuple(item.variant.name for item in variants)


def _to_withdraw(variants: list[StagedVariant], repository: Path, asked: Collection[str]) -> tuple[str, ...]:
    """Variants of ours that were asked for, and those of these models that other weights made."""
    hashes = {item.card.model: item.card.weights_sha256 for item in variants}
    names = {item.variant.name for item in variants}
    found = []
    for directory in sorted(path for path in repository.iterdir() if path.is_dir() and path.name not in names):
        card = card_from_directory(directory)
        if card is None:
            continue
        if directory.name in asked or hashes.get(card.model, card.weights_sha256) != card.weights_sha256:
            found.append(directory.name)
    return tuple(found)
