"""`photofinish export`: weights to a published model repository."""

from __future__ import annotations

from pathlib import Path

import click

from photofinish.variant import default_variants_path


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
) -> None:
    """Make, check and publish the variants of a model."""
    from export.build import stage_variants
    from export.publish import publish_variants
    from export.summary import gpus_from_text, table_from_staged

    staged = stage_variants(
        weights,
        variants_path=variants_path or default_variants_path(),
        names=names,
        device=device,
        input_size=input_size,
        staging=staging,
        on_progress=lambda line: click.echo(line, err=True),
        model_name=model_name,
        gpus=gpus_from_text(gpus),
        targets=targets,
        calibration=calibration,
    )
    publish_variants(staged, repository)
    click.echo(f"published to {repository}", err=True)
    click.echo(table_from_staged(staged))
