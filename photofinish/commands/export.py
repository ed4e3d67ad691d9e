"""`photofinish export`: weights to a published model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photofinish.errors import ExportError
from photofinish.flows.best import check_best_options, choose_best, measure_published, runs_here
from photofinish.flows.gate import GateOptions, alone_in, error_from_report, gate_and_publish
from photofinish.variant import default_variants_path, variants_from_toml

if TYPE_CHECKING:
    from photofinish.export.publishing.staging import StagedVariant
    from photofinish.perf.accuracy.gate import GateReport


@click.command()
@click.option(
    "--weights",
    default="demo",
    show_default=True,
    help="A .pt, .onnx or .yaml file, official weights such as yolo26n.pt, torchvision:resnet18, or demo.",
)
@click.option("--variant", "names", multiple=True, help="Only this variant (name or suffix); may be repeated.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--gpus", default="all", show_default=True, help="GPUs that get instances: all, or e.g. 0,1.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="GPU architecture a TensorRT engine is built for, e.g. sm120 (RTX 50) or sm89 (RTX 40), also without that "
    "GPU; may be repeated. Default: this machine's GPU.",
)
@click.option("--input-size", type=click.IntRange(min=32), help="Side of the square input; default: as trained.")
@click.option("--calibration", type=click.Path(path_type=Path), help="Folder of your own pictures for INT8.")
@click.option("--model-name", help="Name of the model in the repository; default: from the weights' file name.")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--staging", type=click.Path(path_type=Path), default=Path(".photofinish/staging"), show_default=True)
@click.option("--variants", "variants_path", type=click.Path(path_type=Path), help="Another variants.toml.")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled pictures for the accuracy gate: a data.yaml.")
@click.option("--frames", help="Frames without labels for the gate: a folder or video. Default: the synthetic camera.")
@click.option("--gate/--no-gate", default=True, show_default=True, help="Measure accuracy before publishing.")
@click.option(
    "--gate-frames", type=click.IntRange(min=1), help="Frames the gate looks at. Default: 120, or all of --data."
)
@click.option("--best", is_flag=True, help="Measure what was published and name the variant with the most FPS.")
@click.option("--p95-ms", type=click.FloatRange(min=0, min_open=True), help="The P95 that --best has to keep.")
def export(
    weights: str,
    names: tuple[str, ...],
    device: str,
    gpus: str,
    targets: tuple[str, ...],
    input_size: int | None,
    calibration: Path | None,
    model_name: str | None,
    repository: Path,
    staging: Path,
    variants_path: Path | None,
    data: Path | None,
    frames: str | None,
    gate: bool,
    gate_frames: int | None,
    best: bool,
    p95_ms: float | None,
) -> None:
    """Make, check and publish the variants of a model.

    Every variant is measured against the FP32 baseline through a server. One that falls below its floor in
    variants.toml (min_map_share) is not published, and the command ends with exit code 3.
    """
    from photofinish.export.build import stage_variants
    from photofinish.export.publishing.publish import publish_variants
    from photofinish.export.publishing.summary import gpus_from_text, table_from_staged

    path = variants_path or default_variants_path()

    def stage(wanted: tuple[str, ...]) -> tuple[StagedVariant, ...]:
        return stage_variants(
            weights,
            variants_path=path,
            names=wanted,
            device=device,
            input_size=input_size,
            staging=staging,
            on_progress=tell,
            model_name=model_name,
            gpus=gpus_from_text(gpus),
            targets=targets,
            calibration=calibration,
        )

    check_best_options(best, p95_ms, gate)
    options = GateOptions(data=data, frames=frames, size=gate_frames, calibration=calibration)
    if gate:
        check_gate_frames(options)
    with alone_in(staging, tell):
        staged = stage(names)
        if not gate:
            publish_variants(staged, repository)
            click.echo(f"published to {repository}, accuracy not measured", err=True)
            click.echo(table_from_staged(staged))
            return
        outcome = gate_and_publish(staged, baseline_of(staged, path, stage), repository, options, on_progress=tell)
    click.echo(f"published to {repository}", err=True)
    click.echo(table_from_staged(staged))
    if outcome.report and outcome.report.refused and not outcome.published:
        finish_with_report(outcome.report, options)
    if p95_ms is not None:
        models = [item.variant.name for item in staged if item.variant.name in outcome.published and runs_here(item)]
        candidates = measure_published(repository, models, on_progress=tell)
        click.echo(f"best: {choose_best(candidates, p95_ms, on_line=click.echo)}")
    if outcome.report:
        finish_with_report(outcome.report, options)
    if left := [item.variant.name for item in staged if names and item.variant.name not in outcome.published]:
        raise ExportError(f"{', '.join(left)} was asked for and is not published; the reason stands above")


def tell(line: str) -> None:
    """One line of progress on stderr."""
    click.echo(line, err=True)


def check_gate_frames(options: GateOptions) -> None:
    """Raise ConfigError or SourceError now, not after minutes of building, when the gate's frames cannot be read."""
    if options.data:
        from photofinish.perf.accuracy.labels import LabelledDataset

        LabelledDataset(options.data, limit=options.size)
    if options.frames:
        from photofinish.client.sources.opening import open_source

        open_source(options.frames).close()


def baseline_of(
    staged: tuple[StagedVariant, ...], path: Path, stage: Callable[[tuple[str, ...]], tuple[StagedVariant, ...]]
) -> StagedVariant:
    """The baseline among the staged variants; when it was not asked for, it is staged as well, to compare with."""
    chosen = next((item for item in staged if item.variant.role == "baseline"), None)
    if chosen:
        return chosen
    kind = "onnx" if staged[0].card.weights.endswith(".onnx") else "torch"
    known = variants_from_toml(path, model=staged[0].variant.model)
    suffix = next(item.suffix for item in known if item.role == "baseline" and kind in item.sources)
    return stage((suffix,))[0]


def finish_with_report(report: GateReport, options: GateOptions) -> None:
    """Print the accuracy table; raise AccuracyGateError when a variant was refused."""
    from photofinish.perf.accuracy.report import table_from_report

    click.echo("\n" + table_from_report(report))
    if report.refused:
        raise error_from_report(report, options.work)
