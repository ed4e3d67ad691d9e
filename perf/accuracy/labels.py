"""Labelled pictures in Ultralytics' data.yaml format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from photofinish.detections import Detections, empty_detections
from photofinish.errors import ConfigError
from photofinish.frame import Frame
from photofinish.perf.accuracy.data import Dataset
from photofinish.pictures import image_from_file, image_paths_below

SPLITS = ("val", "test", "train")
TOLERANCE = 0.01
"""How far a normalised coordinate may lie outside 0..1; it is clipped. More means a wrong label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """One picture and its label file, which need not exist: then the picture holds no objects."""

    image: Path
    labels: Path


class LabelledDataset(Dataset):
    """The pictures of a data.yaml with their boxes. All label files are read and checked at once."""

    def __init__(self, data_yaml: Path, *, limit: int | None = None) -> None:
        """limit: at most so many pictures, evenly spread. Raises ConfigError saying which file and line is wrong."""
        names, pictures = _read_data_yaml(data_yaml)
        if limit is not None and len(pictures) > limit:
            pictures = [pictures[int((index + 0.5) * len(pictures) / limit)] for index in range(limit)]
        self._pictures = pictures
        self._rows = [_rows_from_labels(picture.labels, len(names)) for picture in pictures]
        if not any(len(rows) for rows in self._rows):
            raise ConfigError(
                f"{data_yaml}: none of the {len(pictures)} pictures has a labelled object, so there is nothing to "
                f"measure; expected label files such as {pictures[0].labels}"
            )
        super().__init__(
            kind="labelled",
            name=data_yaml.resolve().parent.name,
            class_names=names,
            sha256=_hash_from_pictures(pictures, names),
            size=len(pictures),
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The pictures' files."""
        return tuple(picture.image for picture in self._pictures)

    def frames(self) -> Iterator[Frame]:
        """The pictures by name."""
        for index, (picture, rows) in enumerate(zip(self._pictures, self._rows, strict=True)):
            image = image_from_file(picture.image)
            height, width = image.shape[:2]
            yield Frame(
                image_hwc_bgr=image,
                stream_id="gate",
                index=index,
                captured_ns=0,
                truth=_truth_from_rows(rows, (width, height)),
            )


def _read_data_yaml(path: Path) -> tuple[tuple[str, ...], list[LabelledPicture]]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(f"--data {path} cannot be read: {' '.join(str(exc).split())[:200]}") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"--data {path} is not a data.yaml: expected the keys names and val")
    split = next((name for name in SPLITS if document.get(name)), None)
    if split is None:
        raise ConfigError(f"--data {path} names no pictures: expected one of the keys {', '.join(SPLITS)}")
    entries = document[split] if isinstance(document[split], list) else [document[split]]
    images = sorted(image for entry in entries for image in _images(path, document.get("path"), str(entry)))
    if not images:
        raise ConfigError(f"--data {path}: {split}: {document[split]} holds no pictures")
    pictures = [LabelledPicture(image=image, labels=_label_path(image)) for image in images]
    if not any(picture.labels.parent.is_dir() for picture in pictures):
        raise ConfigError(
            f"--data {path}: no label folder {pictures[0].labels.parent}; expected labels/ beside images/, with one "
            ".txt per picture"
        )
    return _class_names(path, document.get("names")), pictures


def _class_names(path: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, list) and names:
        return tuple(str(name) for name in names)
    if isinstance(names, dict) and sorted(names) == list(range(len(names))) and names:
        return tuple(str(names[index]) for index in range(len(names)))
    raise ConfigError(f"--data {path}: names must list the classes from 0 on, got {str(names)[:80]}")


def _images(data_yaml: Path, root: object, entry: str) -> list[Path]:
    """Pictures of a folder, or those a .txt lists. Paths are relative to `path`, itself relative to the data.yaml."""
    base = data_yaml.resolve().parent
    roots = [base / str(root)] if root else []
    candidates = [folder / entry for folder in (*roots, base, Path.cwd())]
    found = next((candidate for candidate in candidates if candidate.exists()), None)
    if found is None:
        raise ConfigError(
            f"--data {data_yaml}: {candidates[0]} does not exist; correct the key path or download the data"
        )
    if found.is_dir():
        return image_paths_below(found)
    if found.suffix != ".txt":
        raise ConfigError(f"--data {data_yaml}: {found} is neither a folder of pictures nor a .txt list of them")
    lines = (line.strip() for line in found.read_text(encoding="utf-8").splitlines())
    listed = [path if path.is_absolute() else found.parent / path for path in (Path(line) for line in lines if line)]
    if missing := [path for path in listed if not path.is_file()]:
        raise ConfigError(f"--data {data_yaml}: {found} lists {len(missing)} pictures that do not exist: {missing[0]}")
    return listed


def _label_path(image: Path) -> Path:
    """`…/images/a/b.jpg` → `…/labels/a/b.txt`: the last folder called images counts, as in Ultralytics."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _rows_from_labels(path: Path, class_count: int) -> list[tuple[int, float, float, float, float]]:
    """Class and normalised x1, y1, x2, y2 of each object; an empty or missing file means none."""
    if not path.is_file():
        return []
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read as labels: {exc}") from exc
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append(_row_from_line(line, f"{path}, line {number}", class_count))
    return rows


def _row_from_line(line: str, where: str, class_count: int) -> tuple[int, float, float, float, float]:
    try:
        label, *values = (float(part) for part in line.split())
    except ValueError as exc:
        raise ConfigError(f"{where}: {line[:60]!r} is not a label; expected: class cx cy width height") from exc
    if len(values) == 4:
        cx, cy, width, height = values
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise ConfigError(f"{where}: {len(values) + 1} numbers found; expected class cx cy width height, or a polygon")
    if not 0 <= label < class_count or label != int(label):
        raise ConfigError(f"{where}: class {label:g} does not exist; data.yaml names {class_count} classes")
    box = " ".join(f"{value:.3g}" for value in corners)
    if min(corners) < -TOLERANCE or max(corners) > 1 + TOLERANCE or not all(np.isfinite(corners)):
        raise ConfigError(
            f"{where}: the box {box} lies outside its picture; coordinates "
            "are shares of the picture's size, within 0..1; correct or remove the label"
        )
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise ConfigError(f"{where}: the box {box} has a negative width or height; correct or remove the label")
    x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in corners)
    return int(label), x1, y1, x2, y2


def _truth_from_rows(rows: list[tuple[int, float, float, float, float]], size_wh: tuple[int, int]) -> Detections:
    if not rows:
        return empty_detections()
    table = np.array(rows, dtype=np.float64)
    scale = np.array([*size_wh, *size_wh], dtype=np.float64)
    return Detections(
        boxes_xyxy=(table[:, 1:] * scale).astype(np.float32),
        confidence=np.ones(len(rows), dtype=np.float32),
        class_id=table[:, 0].astype(np.int32),
    )


def _hash_from_pictures(pictures: list[LabelledPicture], names: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\n".join(names).encode())
    for picture in pictures:
        digest.update(picture.image.name.encode() + b"\0" + picture.image.read_bytes())
        digest.update(picture.labels.read_bytes() if picture.labels.is_file() else b"\0")
    return digest.hexdigest()
