"""`photofinish export`: variants staged, gated, published, and the best of them named."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photofinish.errors import ConfigError, ExportError
from photofinish.flows import tell
from photofinish.flows.exporting.best import (
    check_best_options,
    choose_best,
    facts_from_staged,
    measure_published,
    runs_here,
)
from photofinish.flows.exporting.pruning import PruneOptions, check_prune_options, prune_weights, pruned_line
from photofinish.flows.gate import (
    GateOptions,
    GateOutcome,
    alone_in,
    error_from_report,
    gate_and_publish,
    tell_places,
)
from photofinish.machine.disk import why_not_written
from photofinish.variant import default_variants_path, select_variants, variants_from_toml

if TYPE_CHECKING:
    from photofinish.export.loading.weights import WeightsFile
    from photofinish.export.publishing.staging import StagedVariant
    from photofinish.model_card import GivenHead
    from photofinish.perf.accuracy.gate import GateReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What the user asked for, one field an option; the command's help describes them."""

    weights: str
    names: tuple[str, ...]
    head: GivenHead | None
    names_file: Path | None
    boxes_only: bool
    classes: str | None
    class_embeddings: Path | None
    text_encoder: Path | None
    device: str
    gpus: str
    targets: tuple[str, ...]
    input_size: int | None
    calibration: Path | None
    model_name: str | None
    repository: Path
    staging: Path
    variants_path: Path | None
    data: Path | None
    frames: str | None
    gate: bool
    kernels: bool
    accept_undecided: bool
    gate_frames: int | None
    best: bool
    p95_ms: float | None
    prune: float | None = None
    prune_pictures: Path | None = None
    prune_epochs: int = 30
    prune_minutes: float = 20.0
    prune_floor: float = 0.95

    @property
    def prune_options(self) -> PruneOptions | None:
        """How to make the weights smaller; None to leave them as they are."""
        if self.prune is None:
            return None
        return PruneOptions(
            ratio=self.prune,
            pictures=self.prune_pictures,
            epochs=self.prune_epochs,
            minutes=self.prune_minutes,
            floor=self.prune_floor,
        )

    @property
    def variants_file(self) -> Path:
        """The variants.toml that counts."""
        return self.variants_path or default_variants_path()

    @property
    def gate_options(self) -> GateOptions:
        """What the gate looks at."""
        return GateOptions(
            data=self.data,
            frames=self.frames,
            size=self.gate_frames,
            calibration=self.calibration,
            accept_undecided=self.accept_undecided,
            pruned_floor=self.prune_floor,
        )


def run_export(request: ExportRequest) -> None:
    """Make, check and publish the variants; print their table and the gate's.

    Raises AccuracyGateError when a variant was refused, VerdictError when none keeps the limit of --best.
    """
    from photofinish.export.publishing.publish import publish_variants
    from photofinish.export.publishing.summary import table_from_staged

    check_best_options(request.best, request.p95_ms, request.gate)
    options, unpruned = request.prune_options, request
    found = _checked_for_pruning(request, options) if options else None
    if not options and (alone := prune_options_alone(request)):
        raise ConfigError(f"{alone} is for --prune alone; pass --prune 0.3 too, or leave it out")
    if request.gate:
        check_gate_frames(request.gate_options)
        require_work_folder(request.gate_options.work)
    tell_places(request.staging, request.repository, tell)
    with alone_in(request.staging, tell):
        unpruned_staged: tuple[StagedVariant, ...] = ()
        if options and found and request.data:
            # First, as it refuses at once what could not be exported after minutes of learning either.
            unpruned_staged = stage(request, (baseline_suffix(request),))
            request = _with_pruned_weights(request, options, found, request.data)
        staged = stage(request, request.names)
        if not request.gate:
            publish_variants(staged, request.repository, on_progress=tell)
            tell(f"published to {request.repository}, accuracy not measured")
            click.echo(table_from_staged(staged))
            return
        baseline = baseline_of(unpruned_staged or staged, unpruned)
        outcome = gate_and_publish(staged, baseline, request.repository, request.gate_options, on_progress=tell)
    if outcome.published:
        tell(f"published to {request.repository}")
    click.echo(table_from_staged(staged))
    if options:
        tell(pruned_line(staged[0].card, unpruned.weights, unpruned.model_name, request.repository))
    finish_export(request, staged, outcome)


def prune_options_alone(request: ExportRequest) -> str:
    """The first option of --prune that was given another value than its own; "" where none was."""
    usual = {field.name: field.default for field in fields(ExportRequest)}
    names = ("prune_pictures", "prune_epochs", "prune_minutes", "prune_floor")
    given = (name for name in names if getattr(request, name) != usual[name])
    return next((f"--{name.replace('_', '-')}" for name in given), "")


def _checked_for_pruning(request: ExportRequest, options: PruneOptions) -> WeightsFile:
    """The weights to prune, once options and names of variants are right."""
    from photofinish.export.pruning.request import pruned_name

    words = bool(request.classes or request.class_embeddings or request.text_encoder)
    found = check_prune_options(options, request.weights, request.data, gate=request.gate, words=words)
    model = pruned_name(request.model_name.lower() if request.model_name else found.model, options.ratio)
    select_variants(variants_from_toml(request.variants_file, model=model), request.names)
    return found


def _with_pruned_weights(
    request: ExportRequest, options: PruneOptions, found: WeightsFile, data: Path
) -> ExportRequest:
    """The same export of the pruned weights, under a name of their own."""
    named = replace(found, model=request.model_name.lower()) if request.model_name else found
    made = prune_weights(
        options,
        named,
        data=data,
        device=request.device,
        input_size=request.input_size,
        staging=request.staging,
        on_progress=tell,
    )
    return replace(request, weights=made.spec, model_name=made.model)


def stage(request: ExportRequest, names: tuple[str, ...]) -> tuple[StagedVariant, ...]:
    """These variants, made where they are stale."""
    from photofinish.export.build import stage_variants
    from photofinish.export.loading.told import told_from_options
    from photofinish.export.loading.vocabulary.words import check_word_options, words_from_options
    from photofinish.export.loading.weights import find_text_encoder
    from photofinish.export.publishing.summary import gpus_from_text

    check_word_options(request.weights, request.classes, request.class_embeddings, request.text_encoder)
    encoder = find_text_encoder(request.text_encoder, on_progress=tell)
    words = words_from_options(request.weights, request.classes, request.class_embeddings, encoder)
    return stage_variants(
        request.weights,
        variants_path=request.variants_file,
        names=names,
        device=request.device,
        input_size=request.input_size,
        staging=request.staging,
        on_progress=tell,
        model_name=request.model_name,
        gpus=gpus_from_text(request.gpus),
        targets=request.targets,
        calibration=request.calibration,
        kernels=request.kernels,
        told=told_from_options(
            request.weights,
            request.head,
            request.names_file,
            request.data,
            boxes_only=request.boxes_only,
            words=words,
        ),
    )


def check_gate_frames(options: GateOptions) -> None:
    """Raise ConfigError or SourceError now, not after minutes of building, when the gate's frames cannot be read."""
    if options.data:
        from photofinish.perf.accuracy.labels import LabelledDataset

        LabelledDataset(options.data, limit=options.size)
    if options.frames:
        from photofinish.client.sources.opening import open_source

        open_source(options.frames).close()


def require_work_folder(work: Path) -> None:
    """Raise ConfigError now, not after minutes of building, when the gate can keep nothing in the working folder."""
    folder = (work / "gate").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        remedy = "start the export in a folder that you may write to; --repository and --staging name others"
        raise ConfigError(f"the gate's report: {why_not_written(folder, exc, remedy)}") from exc


def baseline_of(staged: tuple[StagedVariant, ...], request: ExportRequest) -> StagedVariant:
    """The baseline among the staged variants; when it was not asked for, it is staged as well, to compare with."""
    chosen = next((item for item in staged if item.variant.role == "baseline"), None)
    if chosen:
        return chosen
    return stage(request, (baseline_suffix(request, staged[0].card.weights),))[0]


def baseline_suffix(request: ExportRequest, weights: str = "") -> str:
    """Which variant is the baseline of such weights, .onnx or PyTorch's."""
    kind = "onnx" if weights.endswith(".onnx") else "torch"
    known = variants_from_toml(request.variants_file, model="any")
    return next(item.suffix for item in known if item.role == "baseline" and kind in item.sources)


def finish_export(request: ExportRequest, staged: tuple[StagedVariant, ...], outcome: GateOutcome) -> None:
    """Name the best variant where that was asked for, print what the gate found, raise what is wrong with it."""
    if outcome.report and not outcome.published and (outcome.report.refused or outcome.report.undecided):
        finish_with_report(outcome.report, request.gate_options)
    if request.p95_ms is not None:
        models = [item.variant.name for item in staged if item.variant.name in outcome.published and runs_here(item)]
        candidates = measure_published(request.repository, models, on_progress=tell)
        facts = facts_from_staged(staged, outcome)
        click.echo(f"best: {choose_best(candidates, request.p95_ms, on_line=click.echo, facts=facts)}")
    if outcome.report:
        finish_with_report(outcome.report, request.gate_options)
    if left := [item.variant.name for item in staged if request.names and item.variant.name not in outcome.published]:
        raise ExportError(f"{', '.join(left)} was asked for and is not published; the reason stands above")


def finish_with_report(report: GateReport, options: GateOptions) -> None:
    """Print the accuracy table; raise AccuracyGateError when a variant was refused, or left out as undecided."""
    from photofinish.perf.accuracy.report import table_from_report

    click.echo("\n" + table_from_report(report))
    if report.refused or (report.undecided and not options.accept_undecided):
        raise error_from_report(report, options.work)
