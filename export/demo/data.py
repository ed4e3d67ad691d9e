"""A labelled data set from the synthetic camera, in Ultralytics' format."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from photofinish.detections import Detections
from photofinish.errors import ExportError
from photofinish.letterbox import letterbox_from_image
from photofinish.synthetic import CLASS_NAMES, SyntheticCamera

FRAME_WH = (1280, 720)
SPAN_FRAMES = 18_000
"""Frames are drawn from this many of each camera: ten minutes at 30 a second, several days of its light."""
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Frames of one part of the data set.

    Seeds first_seed … first_seed + seed_count - 1, frames_per_seed of each, with crowding between the two bounds.
    reduced: pictures are stored as the model's input sees them (resized, not padded), else as the camera gives them.
    """

    name: str
    first_seed: int
    seed_count: int
    frames_per_seed: int
    crowding: tuple[float, float]
    reduced: bool

    @property
    def frame_count(self) -> int:
        """Frames in all."""
        return self.seed_count * self.frames_per_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeedTask:
    folder: Path
    split: Split
    seed: int
    input_size: int


def write_dataset(
    folder: Path,
    splits: Iterable[Split],
    *,
    input_size: int,
    processes: int,
    on_progress: Callable[[str], None],
) -> dict[str, Path]:
    """Render every split; returns each split's data.yaml by its name. A finished, identical data set is kept."""
    splits = tuple(splits)
    wanted = {"splits": [asdict(split) for split in splits], "input_size": input_size, "frame_wh": FRAME_WH}
    wanted = json.loads(json.dumps(wanted))
    manifest = folder / MANIFEST
    if not manifest.is_file() or json.loads(manifest.read_text(encoding="utf-8")) != wanted:
        tasks = [
            _SeedTask(folder=folder, split=split, seed=seed, input_size=input_size)
            for split in splits
            for seed in range(split.first_seed, split.first_seed + split.seed_count)
        ]
        for split in splits:
            for kind in ("images", "labels"):
                target = folder / kind / split.name
                if target.exists() and any(target.iterdir()):
                    raise ExportError(
                        f"{target} holds files of another data set; expected an empty folder; "
                        "delete it or choose another --work folder"
                    )
                target.mkdir(parents=True, exist_ok=True)
        _run(tasks, processes, on_progress)
        manifest.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    return {split.name: _write_data_yaml(folder, split.name) for split in splits}


def _run(tasks: list[_SeedTask], processes: int, on_progress: Callable[[str], None]) -> None:
    step = max(1, len(tasks) // 20)
    # A fresh interpreter per worker: forking after OpenCV or torch have started threads can hang.
    with multiprocessing.get_context("spawn").Pool(min(processes, len(tasks))) as pool:
        for done, _ in enumerate(pool.imap_unordered(_write_seed, tasks), start=1):
            if done % step == 0 or done == len(tasks):
                on_progress(f"rendered {done} of {len(tasks)} towns")


def _write_seed(task: _SeedTask) -> None:
    """Render one camera's share of a split."""
    cv2.setNumThreads(1)
    split = task.split
    rng = np.random.default_rng([task.seed, 11])
    crowding = float(rng.uniform(*split.crowding))
    camera = SyntheticCamera(seed=task.seed, size_wh=FRAME_WH, crowding=crowding)
    for index in sorted(rng.choice(SPAN_FRAMES, split.frames_per_seed, replace=False).tolist()):
        frame = camera.frame(index)
        stem = f"{task.seed:07d}_{index:05d}"
        image = frame.image_hwc_bgr
        if split.reduced:
            letterbox = letterbox_from_image(image, (task.input_size, task.input_size))
            image = np.asarray(cv2.resize(image, letterbox.resized_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
        path = task.folder / "images" / split.name / f"{stem}.png"
        if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise ExportError(f"{path} cannot be written; check the disk's free space")
        labels = labels_from_truth(frame.truth, FRAME_WH) if frame.truth is not None else ""
        (task.folder / "labels" / split.name / f"{stem}.txt").write_text(labels, encoding="utf-8")


def labels_from_truth(truth: Detections, size_wh: tuple[int, int]) -> str:
    """One line per object: class, centre x and y, width, height, as shares of the picture."""
    lines = []
    for (x1, y1, x2, y2), class_id in zip(truth.boxes_xyxy.tolist(), truth.class_id.tolist(), strict=True):
        centre_x, centre_y = (x1 + x2) / 2 / size_wh[0], (y1 + y2) / 2 / size_wh[1]
        width, height = (x2 - x1) / size_wh[0], (y2 - y1) / size_wh[1]
        lines.append(f"{class_id} {centre_x:.6f} {centre_y:.6f} {width:.6f} {height:.6f}\n")
    return "".join(lines)


def _write_data_yaml(folder: Path, name: str) -> Path:
    """data.yaml that validates on split `name` and trains on `train`."""
    path = folder / f"{name}.yaml"
    names = "".join(f"  {index}: {class_name}\n" for index, class_name in enumerate(CLASS_NAMES))
    path.write_text(
        f"path: {json.dumps(str(folder.resolve()))}\ntrain: images/train\nval: images/{name}\nnames:\n{names}",
        encoding="utf-8",
    )
    return path
