"""Trains the demo detector from scratch on the synthetic camera, and measures it on towns it has not seen."""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from photofinish import __version__
from photofinish.errors import ExportError
from photofinish.export.demo.data import Split, write_dataset
from photofinish.source_hash import sha256_from_file
from photofinish.synthetic import CLASS_NAMES

ARCHITECTURE = "yolo26n.yaml"
SCHEMA_VERSION = 1
MAX_WEIGHTS_BYTES = 6_000_000
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 10_000, 500_000, 900_000
"""First seed of each split; the demo's own scenes have small seeds and are in none of them."""
TEST_FRAMES_PER_SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How much to render, and how long and how to train.

    minutes: training stops by itself after this time; 0 means exactly `epochs` epochs. cache: keep all pictures in
    memory. device: "cpu", "0", ….
    """

    train_seeds: int = 220
    frames_per_seed: int = 50
    validation_seeds: int = 8
    test_seeds: int = 100
    input_size: int = 640
    batch_size: int = 96
    minutes: float = 6.0
    epochs: int = 60
    learning_rate: float = 0.002
    optimizer: str = "AdamW"
    validate_every: int = 10
    workers: int = 14
    processes: int = 16
    device: str = "0"
    cache: bool = True

    def splits(self) -> tuple[Split, Split, Split]:
        """Training, validation and test, on seeds of their own."""
        return (
            Split(
                name="train",
                first_seed=TRAIN_SEED,
                seed_count=self.train_seeds,
                frames_per_seed=self.frames_per_seed,
                crowding=(0.4, 1.6),
                reduced=True,
            ),
            Split(
                name="validation",
                first_seed=VALIDATION_SEED,
                seed_count=self.validation_seeds,
                frames_per_seed=min(TEST_FRAMES_PER_SEED, self.frames_per_seed),
                crowding=(1.0, 1.0),
                reduced=True,
            ),
            Split(
                name="test",
                first_seed=TEST_SEED,
                seed_count=self.test_seeds,
                frames_per_seed=min(TEST_FRAMES_PER_SEED, self.frames_per_seed),
                crowding=(1.0, 1.0),
                reduced=False,
            ),
        )


def train_demo_detector(
    plan: TrainingPlan,
    *,
    work: Path,
    weights_path: Path,
    results_path: Path,
    resume: bool,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    """Render, train, strip, measure; writes the weights and the results, and returns the results.

    resume: go on from the last checkpoint in `work` where there is one. Raises ExportError.
    """
    # Ultralytics looks for newer versions, fonts and reference weights on the internet unless told not to.
    os.environ.setdefault("YOLO_OFFLINE", "true")
    timings: dict[str, float] = {}
    started = time.perf_counter()
    data = write_dataset(
        work / "data", plan.splits(), input_size=plan.input_size, processes=plan.processes, on_progress=on_progress
    )
    timings["rendering_s"] = time.perf_counter() - started
    run = work / "run"
    started = time.perf_counter()
    checkpoint = _train(plan, data["validation"], run, resume=resume, on_progress=on_progress)
    timings["training_s"] = time.perf_counter() - started
    write_weights(checkpoint, weights_path)
    on_progress(f"wrote {weights_path}")
    started = time.perf_counter()
    evaluation = evaluate(weights_path, data["test"], plan, run)
    timings["evaluation_s"] = time.perf_counter() - started
    results = {
        "schema_version": SCHEMA_VERSION,
        "weights": {
            "name": weights_path.name,
            "bytes": weights_path.stat().st_size,
            "sha256": sha256_from_file(weights_path),
        },
        "architecture": ARCHITECTURE,
        "class_names": list(CLASS_NAMES),
        "plan": asdict(plan),
        "splits": [{**asdict(split), "frames": split.frame_count} for split in plan.splits()],
        "environment": _environment(),
        "timings": {key: round(value, 1) for key, value in timings.items()},
        "evaluation": evaluation,
        "training_curve": _curve(run / "results.csv"),
    }
    results_path.parent.mkdir(parents=True, exist_ok=True)
    results_path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    on_progress(f"wrote {results_path}")
    return results


def _train(plan: TrainingPlan, data: Path, run: Path, *, resume: bool, on_progress: Callable[[str], None]) -> Path:
    """Train, or go on training; returns the last checkpoint."""
    from ultralytics import YOLO

    last = run / "weights" / "last.pt"

    def choose_validation(trainer: Any) -> None:
        trainer.args.val = (trainer.epoch + 1) % plan.validate_every == 0

    def report(trainer: Any) -> None:
        on_progress(
            f"epoch {trainer.epoch + 1} of about {trainer.epochs}: loss {float(sum(trainer.tloss.values())):.3f}"
        )

    go_on = resume and last.is_file()
    if go_on and _is_finished(last):
        on_progress(f"{last} is the end of a finished training; evaluating it")
        return last
    model = YOLO(str(last) if go_on else ARCHITECTURE, task="detect")
    model.add_callback("on_train_epoch_start", choose_validation)
    model.add_callback("on_train_epoch_end", report)
    if go_on:
        model.train(resume=True)
        return last
    model.train(
        data=str(data),
        project=str(run.parent.resolve()),
        name=run.name,
        exist_ok=True,
        pretrained=False,
        imgsz=plan.input_size,
        batch=plan.batch_size,
        epochs=plan.epochs,
        time=plan.minutes / 60 if plan.minutes else None,
        device=plan.device,
        workers=plan.workers,
        cache="ram" if plan.cache else False,
        optimizer=plan.optimizer,
        lr0=plan.learning_rate,
        lrf=0.01,
        cos_lr=True,
        warmup_epochs=1.0,
        patience=0,
        seed=0,
        deterministic=False,
        plots=False,
        verbose=False,
        # The camera already varies what augmentation would; a little zoom, shift and mirroring is left.
        mosaic=0.0,
        close_mosaic=0,
        scale=0.25,
        translate=0.08,
        fliplr=0.5,
        hsv_h=0.01,
        hsv_s=0.3,
        hsv_v=0.25,
        erasing=0.0,
    )
    return last


def _is_finished(checkpoint: Path) -> bool:
    """Whether Ultralytics has stripped the checkpoint, which it does after the last epoch."""
    import torch

    return int(torch.load(checkpoint, map_location="cpu", weights_only=False)["epoch"]) < 0


def write_weights(checkpoint: Path, weights_path: Path) -> None:
    """The averaged weights in half precision, without optimiser state, paths or dates."""
    import torch
    from ultralytics.utils.torch_utils import strip_optimizer

    weights_path.parent.mkdir(parents=True, exist_ok=True)
    strip_optimizer(str(checkpoint), str(weights_path))
    content = torch.load(weights_path, map_location="cpu", weights_only=False)
    kept = {key: content[key] for key in ("model", "version", "license", "docs") if key in content}
    arguments = {"task": "detect", "imgsz": int(content["train_args"]["imgsz"]), "model": ARCHITECTURE}
    kept["model"].args = dict(arguments)
    torch.save({**kept, "train_args": arguments, "epoch": -1, "ema": None, "optimizer": None}, weights_path)
    size = weights_path.stat().st_size
    if size > MAX_WEIGHTS_BYTES:
        raise ExportError(
            f"{weights_path} has {size} bytes, expected at most {MAX_WEIGHTS_BYTES}; "
            f"{ARCHITECTURE} in half precision fits, so check that the checkpoint was stripped"
        )


def evaluate(weights_path: Path, data: Path, plan: TrainingPlan, run: Path) -> dict[str, Any]:
    """mAP of the written weights on a split, overall and per class, by Ultralytics' validator."""
    from ultralytics import YOLO

    metrics = YOLO(str(weights_path)).val(
        data=str(data),
        imgsz=plan.input_size,
        batch=min(plan.batch_size, 32),
        device=plan.device,
        workers=plan.workers,
        rect=False,
        plots=False,
        verbose=False,
        project=str(run.parent.resolve()),
        name="evaluation",
        exist_ok=True,
    )
    per_class = {
        CLASS_NAMES[int(class_id)]: {
            "map50_95": round(float(metrics.box.ap[row]), 4),
            "map50": round(float(metrics.box.ap50[row]), 4),
            "precision": round(float(metrics.box.p[row]), 4),
            "recall": round(float(metrics.box.r[row]), 4),
            "objects": int(metrics.nt_per_class[int(class_id)]),
        }
        for row, class_id in enumerate(metrics.box.ap_class_index)
    }
    return {
        "split": "test",
        "frames": len(list((data.parent / "images" / "test").glob("*.png"))),
        "map50_95": round(float(metrics.box.map), 4),
        "map50": round(float(metrics.box.map50), 4),
        "per_class": per_class,
    }


def _environment() -> dict[str, str]:
    import cv2
    import numpy
    import torch
    import ultralytics

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "photofinish": __version__,
        "ultralytics": str(ultralytics.__version__),
        "torch": str(torch.__version__),
        "opencv": cv2.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "gpu": gpu,
        "cpu_count": str(os.cpu_count()),
    }


def _curve(path: Path) -> list[dict[str, float]]:
    """One entry per epoch from Ultralytics' results.csv; columns that it left empty are left out."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(stream)]
    return [{key: float(value) for key, value in row.items() if value not in ("", "nan")} for row in rows]
