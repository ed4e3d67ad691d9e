"""Several requests run together where their shapes allow it; one that fails does so alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .batches import Arrays, Part
from .model import ConfiguredModel

RunParts = Callable[[Sequence[Part]], Sequence[Arrays]]
"""Runs the inputs of several requests together; returns the outputs of each, valid until its next run."""


def run_each(parts: Sequence[Part], model: ConfiguredModel, run_parts: RunParts) -> list[Arrays | Exception]:
    """The outputs of each request, in order, or the error that it alone caused."""
    results: list[Any] = [None] * len(parts)
    if len(parts) == 1:
        _run_group([0], parts, results, run_parts, is_only_run=True)
        return results
    groups: dict[Any, list[int]] = {}
    for index, part in enumerate(parts):
        # Only requests whose shapes agree behind the batch dimension can share one execution.
        shapes = tuple(item.shape[1:] for item in part) if model.max_batch_size else index
        groups.setdefault(shapes, []).append(index)
    for members in groups.values():
        _run_group(members, parts, results, run_parts, is_only_run=len(groups) == 1)
    return results


def _run_group(
    members: Sequence[int], parts: Sequence[Part], results: list[Any], run_parts: RunParts, *, is_only_run: bool
) -> None:
    try:
        found = run_parts([parts[index] for index in members])
        for index, outputs in zip(members, found, strict=True):
            # The results are read when all are there: another run would overwrite these outputs before.
            results[index] = outputs if is_only_run else [output.copy() for output in outputs]
    except Exception as exc:  # the engines raise classes of their own; the client gets the text
        if len(members) == 1:
            results[members[0]] = exc
            return
        for index in members:
            _run_group([index], parts, results, run_parts, is_only_run=False)
