"""Weights to staged variants: the one function that makes artifacts and their configs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ConfigError, ExportError
from photofinish.export.loading.told import Told
from photofinish.export.loading.weights import RESHAPED, WeightsFile, find_weights, load_source, with_words
from photofinish.export.publishing.cards import CONFIG_NAME, card_from_source, ultralytics_metadata
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.export.publishing.staging import (
    WORK_NAME,
    StagedVariant,
    fingerprint,
    folder_fingerprint,
    fresh_card,
    replaced_directory,
    told_when_full,
    write_record,
)
from photofinish.export.tensorrt.targets import engine_settings, targets_from_texts
from photofinish.machine.scratch import scratch_folder
from photofinish.model_card import ModelCard
from photofinish.source_hash import sha256_from_file
from photofinish.variant import SQUARE, Device, Variant, select_variants, variants_from_toml

if TYPE_CHECKING:
    from photofinish.export.recipes.context import BuildContext

__all__ = ["StagedVariant", "resolve_device", "stage_variants"]

Progress = Callable[[str], None]
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""One of them exists where a program can reach an NVIDIA GPU (the second under WSL)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExportRequest:
    """One export as asked for.

    named: the variants were asked for by name, so leaving one out is an error. work: where unfinished things lie.
    """

    weights: str
    model_name: str | None
    found: WeightsFile
    device: Device
    input_size: int | None
    gpus: tuple[int, ...]
    calibration: Path | None
    targets: tuple[str, ...]
    told: Told
    kernels: bool
    named: bool
    work: Path
    on_progress: Progress


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
    calibration: Path | None = None,
    targets: Sequence[str] = (),
    told: Told | None = None,
    kernels: bool = False,
) -> tuple[StagedVariant, ...]:
    """Every chosen variant, made or found fresh in `staging/<model>/<variant>`, in the order of variants.toml.

    Each artifact was compared with its source on real pictures. A variant is made in a temporary folder and renamed,
    so an interrupted run leaves the earlier state. Variants that this machine cannot make are announced and left out;
    naming one makes that an error. gpus: which GPUs get instances, all when empty. calibration: folder of pictures
    for INT8. targets: GPU architectures that TensorRT engines are built for, the GPU at hand when empty.
    told: what the user says about the weights; with words they are a model of another name. kernels: FP16 packages
    for the GPU at hand get kernels of ours.
    """
    words = told.words if told else None
    found = with_words(find_weights(weights, model_name=model_name), words, model_name=model_name)
    if found.notice:
        on_progress(found.notice)
    chosen = select_variants(variants_from_toml(variants_path, model=found.model), names)
    if calibration is not None and not calibration.is_dir():
        raise ConfigError(f"--calibration {calibration} is not a folder; pass a folder of pictures")
    request = _ExportRequest(
        weights=weights,
        model_name=model_name,
        found=found,
        device=resolve_device(device),
        input_size=input_size,
        gpus=tuple(gpus),
        calibration=calibration,
        targets=targets_from_texts(targets),
        told=told or Told(),
        kernels=kernels,
        named=bool(names),
        work=staging / WORK_NAME,
        on_progress=on_progress,
    )
    jobs = [_job_from_variant(variant, request, staging) for variant in _runnable(chosen, request)]
    cards = {job.variant.name: fresh_card(job.directory, job.fingerprint) for job in jobs}
    for job in jobs:
        if cards[job.variant.name]:
            on_progress(f"{job.variant.name}: fresh")
    stale = [job for job in jobs if cards[job.variant.name] is None]
    with told_when_full(staging, Path(tempfile.gettempdir())):
        made = _stage_jobs(stale, request) if stale else {}
    with suppress(OSError):  # another export works in it as well
        request.work.rmdir()
    cards.update(made)
    return tuple(
        StagedVariant(variant=job.variant, directory=job.directory, card=card, rebuilt=job.variant.name in made)
        for job in jobs
        if (card := cards[job.variant.name]) is not None
    )


def resolve_device(device: str) -> Device:
    """`cpu` or `cuda`; `auto` is cuda where PyTorch sees a GPU. ExportError when cuda is asked for and missing."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device must be auto, cpu or cuda, got {device!r}")
    if device == "cpu" or (device == "auto" and not any(path.exists() for path in GPU_DEVICES)):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ExportError("--device cuda: PyTorch sees no GPU here; check nvidia-smi, or pass --device cpu")
    return "cpu"


def _job_from_variant(variant: Variant, request: _ExportRequest, staging: Path) -> _Job:
    settings: dict[str, object] = {
        "weights": request.found.sha256,
        "input_size": request.input_size,
        "device": request.device,
        "gpus": request.gpus,
        **request.told.settings,
    }
    if variant.backend == "tensorrt":
        settings["engines"] = engine_settings(request.targets)
    if variant.recipe == "aoti_fp16" and request.device == "cuda":
        from photofinish.export.recipes.aoti import this_gpu

        settings["gpu"] = this_gpu()
        settings["kernels"] = request.kernels
    if variant.is_quantised and request.calibration:
        settings["calibration"] = folder_fingerprint(request.calibration)
    return _Job(
        variant=variant,
        directory=staging / request.found.model / variant.name,
        fingerprint=fingerprint(variant, settings),
    )


def _runnable(chosen: tuple[Variant, ...], request: _ExportRequest) -> list[Variant]:
    """The chosen variants that these weights and this device allow; the others are announced."""
    kind = "onnx" if request.found.kind == "onnx" else "torch"
    runnable = []
    left_out: dict[str, list[str]] = {}

    def leave_out(variant: Variant, reason: str) -> None:
        if request.named:
            raise ExportError(f"{variant.name} was asked for, but {reason}")
        left_out.setdefault(reason, []).append(variant.suffix)

    for variant in chosen:
        if kind not in variant.sources:
            # Nothing to announce: torch and ONNX weights have a baseline each.
            if request.named:
                raise ExportError(f"{variant.name} was asked for, but it cannot be made from {kind} weights")
        elif variant.aspect != SQUARE and request.found.kind not in RESHAPED:
            leave_out(variant, "these weights take square pictures only")
        elif variant.backend == "tensorrt" and request.targets:
            runnable.append(variant)
        elif request.device not in variant.devices:
            leave_out(variant, f"it runs on {' or '.join(variant.devices)}, not on {request.device}")
        else:
            runnable.append(variant)
    for reason, suffixes in left_out.items():
        each = "each " if len(suffixes) > 1 else ""
        request.on_progress(f"left out: {', '.join(suffixes)} ({each}because {reason})")
    if not runnable:
        raise ExportError(f"no variant is left for {request.device} and {request.found.spec}; see variants.toml")
    return runnable


def _leave_out(variant: Variant, reason: str, request: _ExportRequest) -> None:
    if request.named:
        raise ExportError(f"{variant.name} was asked for, but {reason}")
    request.on_progress(f"{variant.name}: left out, {reason}")


def _stage_jobs(jobs: list[_Job], request: _ExportRequest) -> dict[str, ModelCard]:
    """Make the stale variants; the cards of those that were made, by variant name."""
    request.on_progress(f"loading {request.found.spec}")
    from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError

    made: dict[str, ModelCard] = {}
    request.work.mkdir(parents=True, exist_ok=True)
    with scratch_folder(request.work) as work:
        # One network for each shape of input, and one context, in the order of their first variants.
        for aspect in dict.fromkeys(job.variant.aspect for job in jobs):
            source = load_source(request.found, input_size=request.input_size, aspect=aspect, told=request.told)
            for notice in source.notices:
                request.on_progress(notice)
            context = BuildContext(
                source=source,
                device=request.device,
                work_dir=Path(tempfile.mkdtemp(dir=work)),
                on_progress=request.on_progress,
                calibration=request.calibration,
                targets=request.targets,
                weights_spec=request.weights,
                model_name=request.model_name,
                input_size=request.input_size,
                told=request.told,
                kernels=request.kernels,
            )
            for job in (job for job in jobs if job.variant.aspect == aspect):
                if source.frames_contract and job.variant.contract == "tensor":
                    _leave_out(job.variant, "the ONNX file speaks the frames contract only", request)
                    continue
                try:
                    made[job.variant.name] = _stage(job, context, request)
                except RecipeUnavailableError as exc:
                    _leave_out(job.variant, str(exc), request)
    return made


def _stage(job: _Job, context: BuildContext, request: _ExportRequest) -> ModelCard:
    from photofinish.export.recipes.table import RECIPES

    variant, source = job.variant, context.source
    builder = RECIPES.get(variant.recipe)
    if builder is None:
        raise ConfigError(f"{variant.name}: unknown recipe {variant.recipe!r}; there are {sorted(RECIPES)}")
    context.on_progress(f"{variant.name}: building ({variant.recipe})")
    begun = time.perf_counter()
    with replaced_directory(job.directory, request.work) as directory:
        (directory / "1").mkdir()
        parity = builder(context, variant, directory / "1" / variant.artifact_name)
        card = card_from_source(
            source,
            variant,
            device="cuda" if variant.backend == "tensorrt" else context.device,
            parity=parity,
            calibration=context.calibration_cards.get(variant.name),
            engines=context.engine_cards.get(variant.name),
        )
        io = io_from_variant(
            variant,
            input_wh=source.input_wh,
            raw_dims=source.raw_dims,
            task=source.task,
            row_width=source.row_width,
        )
        metadata = ultralytics_metadata(source) if variant.contract == "tensor" else None
        artifact = directory / "1" / variant.artifact_name
        text = config_from_variant(
            variant,
            card,
            io,
            gpus=request.gpus,
            ultralytics_metadata=metadata,
            artifact_sha256=sha256_from_file(artifact) if artifact.is_file() else "",
        )
        (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
        write_record(directory, job.fingerprint, card)
    context.on_progress(f"{variant.name}: done in {time.perf_counter() - begun:.1f} s")
    return card
