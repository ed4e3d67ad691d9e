"""Weights to staged variants: the one function that makes artifacts and their configs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.config import config_from_variant, io_from_variant
from export.staging import StagedVariant, fingerprint, fresh_card, replaced_directory, write_record
from export.weights import WeightsFile, find_weights, load_source
from photofinish.errors import ConfigError, ExportError
from photofinish.model_card import ModelCard
from photofinish.variant import Device, Variant, select_variants, variants_from_toml

if TYPE_CHECKING:
    from export.context import BuildContext
    from export.source import ModelSource

Progress = Callable[[str], None]

__all__ = ["StagedVariant", "resolve_device", "stage_variants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One variant to stage."""

    variant: Variant
    directory: Path
    fingerprint: str


def stage_variants(
    weights: str,
    *,
    variants_path: Path,
    names: tuple[str, ...] = (),
    device: str = "auto",
    input_size: int | None = None,
    staging: Path,
    on_progress: Progress,
    model_name: str | None = None,
    gpus: Sequence[int] = (),
) -> tuple[StagedVariant, ...]:
    """Every chosen variant, made or found fresh in `staging/<model>/<variant>`, in the order of variants.toml.

    Each artifact was compared with its source on real pictures. A variant is made in a temporary folder and renamed,
    so an interrupted run leaves the earlier state. gpus: which GPUs get instances, all when empty.
    """
    found = find_weights(weights, model_name=model_name)
    if found.notice:
        on_progress(found.notice)
    chosen = select_variants(variants_from_toml(variants_path, model=found.model), names)
    resolved = resolve_device(device)
    variants = _runnable(chosen, found, resolved, named=bool(names), on_progress=on_progress)
    settings = {
        "weights": found.sha256,
        "input_size": input_size,
        "device": resolved,
        "gpus": list(gpus),
    }
    jobs = [
        _Job(
            variant=variant,
            directory=staging / found.model / variant.name,
            fingerprint=fingerprint(variant, settings),
        )
        for variant in variants
    ]
    cards = {job.variant.name: fresh_card(job.directory, job.fingerprint, job.variant) for job in jobs}
    stale = [job for job in jobs if cards[job.variant.name] is None]
    for job in jobs:
        if job not in stale:
            on_progress(f"{job.variant.name}: fresh")
    made = _stage_jobs(stale, found, resolved, input_size, gpus, on_progress) if stale else {}
    return tuple(
        StagedVariant(
            variant=job.variant,
            directory=job.directory,
            card=made.get(job.variant.name) or _expect_card(cards[job.variant.name]),
            rebuilt=job.variant.name in made,
        )
        for job in jobs
    )


def resolve_device(device: str) -> Device:
    """`cpu` or `cuda`; `auto` is cuda where PyTorch sees a GPU. ExportError when cuda is asked for and missing."""
    if device == "cpu":
        return "cpu"
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ExportError("--device cuda: PyTorch sees no GPU here; check nvidia-smi, or pass --device cpu")
    if device not in ("auto", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, got {device!r}")
    return "cuda" if has_cuda else "cpu"


def _runnable(
    chosen: tuple[Variant, ...], found: WeightsFile, device: Device, *, named: bool, on_progress: Progress
) -> list[Variant]:
    """The chosen variants that these weights and this device allow; the others are announced."""
    kind = "onnx" if found.kind == "onnx" else "torch"
    runnable = []
    for variant in chosen:
        if kind not in variant.sources:
            # Nothing to announce: torch and ONNX weights have a baseline each.
            reason, announced = f"it cannot be made from {kind} weights", False
        elif device not in variant.devices:
            reason, announced = f"it runs on {' or '.join(variant.devices)}, not on {device}", True
        else:
            runnable.append(variant)
            continue
        if named:
            raise ExportError(f"{variant.name} was asked for, but {reason}")
        if announced:
            on_progress(f"{variant.name}: left out, {reason}")
    if not runnable:
        raise ExportError(f"no variant is left for {device} and {found.spec}; see variants.toml")
    return runnable


def _stage_jobs(
    jobs: list[_Job],
    found: WeightsFile,
    device: Device,
    input_size: int | None,
    gpus: Sequence[int],
    on_progress: Progress,
) -> dict[str, ModelCard]:
    """Make the stale variants; the cards by variant name."""
    on_progress(f"loading {found.spec}")
    from export.context import BuildContext

    source = load_source(found, input_size=input_size)
    with tempfile.TemporaryDirectory(prefix="photofinish-export-") as work:
        context = BuildContext(source=source, device=device, work_dir=Path(work), on_progress=on_progress)
        return {job.variant.name: _stage(job, context, gpus) for job in jobs}


def _stage(job: _Job, context: BuildContext, gpus: Sequence[int]) -> ModelCard:
    from export.recipes import RECIPES

    variant, source = job.variant, context.source
    builder = RECIPES.get(variant.recipe)
    if builder is None:
        raise ConfigError(f"{variant.name}: unknown recipe {variant.recipe!r}; there are {sorted(RECIPES)}")
    context.on_progress(f"{variant.name}: building ({variant.recipe})")
    begun = time.perf_counter()
    with replaced_directory(job.directory) as directory:
        (directory / "1").mkdir()
        parity = builder(context, variant, directory / "1" / variant.artifact_name)
        card = card_from_source(source, variant, context.device, parity)
        io = io_from_variant(variant, input_wh=source.input_wh, raw_dims=source.raw_dims, task=source.task)
        metadata = ultralytics_metadata(source) if variant.contract == "tensor" else None
        text = config_from_variant(variant, card, io, gpus=gpus, ultralytics_metadata=metadata)
        (directory / "config.pbtxt").write_text(text, encoding="utf-8")
        write_record(directory, job.fingerprint, card)
    context.on_progress(f"{variant.name}: done in {time.perf_counter() - begun:.1f} s")
    return card


def card_from_source(source: ModelSource, variant: Variant, device: Device, parity: dict[str, Any]) -> ModelCard:
    """What the served variant will tell about itself."""
    tensor = variant.contract == "tensor"
    needs_nms = source.task == "detect" and not source.nms_free
    return ModelCard(
        variant=variant.name,
        model=variant.model,
        backend=variant.backend,
        precision=variant.precision,
        contract=variant.contract,
        role=variant.role,
        head=source.head if tensor or source.task == "classify" else "rows",
        nms="client" if needs_nms else "none",
        input_wh=source.input_wh,
        class_names=source.class_names,
        weights=source.weights,
        weights_sha256=source.weights_sha256,
        task=source.task,
        device=device,
        untrained=source.untrained,
        tf32=variant.tf32,
        cuda_graphs=variant.cuda_graphs and device == "cuda",
        batch_buckets=variant.batch_buckets,
        parity=parity,
    )


def ultralytics_metadata(source: ModelSource) -> str:
    """What Ultralytics' Triton client reads: a Python literal with class names, stride, size and kind of head."""
    width, height = source.input_wh
    metadata = {
        "description": f"{source.model} exported by Photofinish",
        "stride": source.stride,
        "task": source.task,
        "batch": 1,
        "imgsz": [height, width],
        "names": dict(enumerate(source.class_names)),
        "channels": 3,
        "end2end": source.nms_free,
        "args": {"dynamic": False, "nms": False},
    }
    return ascii(metadata)


def _expect_card(card: ModelCard | None) -> ModelCard:
    if card is None:
        raise ExportError("a staged variant vanished during the export; run it again")
    return card
