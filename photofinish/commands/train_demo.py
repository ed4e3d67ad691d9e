"""`photofinish train-demo`: the demo detector, trained from scratch on the synthetic camera."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from photofinish.flows import tell


@click.command("train-demo", short_help="Train the demo detector on the synthetic camera.")
@click.option("--work", type=click.Path(path_type=Path), default=Path(".photofinish/train-demo"), show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), default=Path("export/weights/demo_traffic.pt"))
@click.option("--results", type=click.Path(path_type=Path), default=Path(".photofinish/results/demo_training.json"))
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
def train_demo(work: Path, weights: Path, results: Path, resume: bool, **plan: Any) -> None:
    """Train the demo detector on the synthetic camera and measure it on unseen towns."""
    from photofinish.export.demo.train import TrainingPlan, train_demo_detector

    outcome = train_demo_detector(
        TrainingPlan(processes=os.cpu_count() or 1, **plan),
        work=work,
        weights_path=weights,
        results_path=results,
        resume=resume,
        on_progress=tell,
    )
    evaluation = outcome["evaluation"]
    for name, row in (*evaluation["per_class"].items(), ("all", evaluation)):
        click.echo(f"{name:12} mAP50-95 {row['map50_95']:.3f}  mAP50 {row['map50']:.3f}")
