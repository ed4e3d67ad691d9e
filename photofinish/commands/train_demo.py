"""`photofinish train-demo`: the demo detector, trained from scratch on the synthetic camera."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command("train-demo")
@click.option("--work", type=click.Path(path_type=Path), default=Path(".photofinish/train-demo"), show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), default=Path("export/weights/demo_traffic.pt"))
@click.option("--results", type=click.Path(path_type=Path), default=Path("results/demo_training.json"))
@click.option("--minutes", type=float, default=6.0, show_default=True, help="Training time; 0: exactly --epochs.")
@click.option("--epochs", type=click.IntRange(min=1), default=60, show_default=True)
@click.option("--train-seeds", type=click.IntRange(min=1), default=220, show_default=True, help="Towns to train on.")
@click.option("--frames-per-seed", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--validation-seeds", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--test-seeds", type=click.IntRange(min=1), default=100, show_default=True, help="Towns held out.")
@click.option("--input-size", type=click.IntRange(min=32), default=640, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=96, show_default=True)
@click.option("--device", default="0", show_default=True, help="GPU index, or cpu.")
@click.option("--workers", type=click.IntRange(min=0), default=min(14, os.cpu_count() or 1), show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in --work.")
def train_demo(
    work: Path,
    weights: Path,
    results: Path,
    minutes: float,
    epochs: int,
    train_seeds: int,
    frames_per_seed: int,
    validation_seeds: int,
    test_seeds: int,
    input_size: int,
    batch_size: int,
    device: str,
    workers: int,
    resume: bool,
) -> None:
    """Train the demo detector on the synthetic camera and measure it on unseen towns."""
    from photofinish.export.demo.train import TrainingPlan, train_demo_detector

    plan = TrainingPlan(
        train_seeds=train_seeds,
        frames_per_seed=frames_per_seed,
        validation_seeds=validation_seeds,
        test_seeds=test_seeds,
        input_size=input_size,
        batch_size=batch_size,
        minutes=minutes,
        epochs=epochs,
        workers=workers,
        processes=os.cpu_count() or 1,
        device=device,
    )
    outcome = train_demo_detector(
        plan,
        work=work,
        weights_path=weights,
        results_path=results,
        resume=resume,
        on_progress=lambda line: click.echo(line, err=True),
    )
    for name, row in outcome["evaluation"]["per_class"].items():
        click.echo(f"{name:12} mAP50-95 {row['map50_95']:.3f}  mAP50 {row['map50']:.3f}")
    click.echo(
        f"{'all':12} mAP50-95 {outcome['evaluation']['map50_95']:.3f}  mAP50 {outcome['evaluation']['map50']:.3f}"
    )
