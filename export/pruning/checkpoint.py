"""Pruned weights in a file: made once for the same weights, pictures and budget, and kept."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.source import DEFAULT_INPUT_SIZE
from photofinish.export.loading.ultralytics import UNREADABLE, WEIGHTS_CHANGED, network_from_pt, trained_size
from photofinish.export.loading.weights import WeightsFile
from photofinish.export.pruning.distil import TeachingFigures, TeachingPlan, teach
from photofinish.export.pruning.request import PruneRequest, check_prunable
from photofinish.export.pruning.structure import PruningFigures, keep_served_head, prune_channels
from photofinish.source_hash import ROOT, sha256_from_file, source_files, source_hash

_CODE = ("export/pruning",)


def pruned_weights(request: PruneRequest, folder: Path, *, on_progress: Callable[[str], None]) -> WeightsFile:
    """The pruned and fine-tuned weights as a .pt in `folder`, which Ultralytics opens too; kept from an earlier run.

    Raises ConfigError or ExportError for what cannot be pruned.
    """
    check_prunable(request.found, request.ratio)
    path = folder / f"{request.model}-{_key(request)}.pt"
    if path.is_file():
        on_progress(f"{request.model}: pruned weights are fresh ({path})")
    else:
        network, taught = _pruned_network(request, on_progress)
        _write(network, taught, request, path)
        on_progress(f"wrote {path}")
    return WeightsFile(kind="pt", spec=str(path), model=request.model, sha256=sha256_from_file(path))


def _pruned_network(
    request: PruneRequest, on_progress: Callable[[str], None]
) -> tuple[Any, tuple[PruningFigures, TeachingFigures]]:
    weights = Path(request.found.spec).name
    try:
        teacher = network_from_pt(Path(request.found.spec)).float().eval()
    except UNREADABLE as exc:
        raise ExportError(
            f"{weights} is not an Ultralytics model ({reason_from_error(exc, limit=160)}); --prune takes such a .pt"
        ) from exc
    keep_served_head(teacher, weights)
    if earlier := getattr(teacher, WEIGHTS_CHANGED, None):
        raise ExportError(
            f"{weights} is already pruned from {earlier['from_weights']}; prune that one with a larger share"
        )
    on_progress(f"pruning {weights}: {request.ratio:.0%} of each layer's channels")
    student = copy.deepcopy(teacher)
    figures, kept = prune_channels(student, request.ratio, weights=weights)
    on_progress(
        f"pruning: {figures.parameters_share:.1%} of the parameters and {figures.operations_share:.1%} of the "
        f"multiply-adds are left; {figures.kept_whole} of {figures.convolutions} convolutions keep all their channels "
        "(attention, and the outputs of the head)"
    )
    plan = TeachingPlan(
        pictures=request.pictures,
        input_size=request.input_size or trained_size(teacher) or DEFAULT_INPUT_SIZE,
        epochs=request.epochs,
        minutes=request.minutes,
        device=request.device,
    )
    try:
        taught = teach(student, teacher, kept, plan, on_progress=on_progress)
    except torch.OutOfMemoryError as exc:
        raise ExportError(
            f"the GPU has too little free memory to teach the pruned {weights} at {plan.input_size} pixels; end what "
            "else runs on it, pass a smaller --input-size, or --device cpu"
        ) from exc
    except KeyboardInterrupt:
        on_progress("pruning: stopped while learning: nothing of it is kept, and the same command begins anew")
        raise
    return student, (figures, taught)


def _write(network: Any, taught: tuple[PruningFigures, TeachingFigures], request: PruneRequest, path: Path) -> None:
    figures, teaching = taught
    changed = {
        "by": "pruning",
        "from_model": request.found.model,
        "from_weights": Path(request.found.spec).name,
        "from_sha256": request.found.sha256,
        "ratio": request.ratio,
        "parameters_share": round(figures.parameters_share, 4),
        "operations_share": round(figures.operations_share, 4),
        **asdict(figures),
        "teaching": asdict(teaching),
    }
    setattr(network, WEIGHTS_CHANGED, changed)
    size = request.input_size or trained_size(network) or DEFAULT_INPUT_SIZE
    arguments = {"task": "detect", "imgsz": size, "model": request.model}
    network.args = dict(arguments)
    content = {
        "model": network.half().requires_grad_(False),
        "train_args": arguments,
        "epoch": -1,
        "ema": None,
        "optimizer": None,
        "license": "AGPL-3.0-or-later, and that of the weights it was made from",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _key(request: PruneRequest) -> str:
    """A short hash of all that decides the pruned weights, but for how fast this machine learns."""
    digest = hashlib.sha256()
    for picture in request.pictures:
        state = picture.stat()
        digest.update(f"{picture}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    settings = {
        "weights": request.found.sha256,
        "ratio": request.ratio,
        "budget": (request.epochs, request.minutes),
        "input_size": request.input_size,
        "device": request.device,
        "code": source_hash(source_files(_CODE, root=ROOT), ROOT),
    }
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()[:12]
