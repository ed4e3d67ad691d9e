"""One label file: the objects of one picture, as YOLO's tools write them."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError, said_of_file
from photofinish.keypoints.layout import POINT_WIDTH

ROUNDING = 0.01
"""Share of a picture by which a box may reach over its border through rounding; more is clipped too, and counted."""
REACH = 1.0
"""A box may reach over a border by one picture at most; more means that its numbers are no shares of a picture."""
MAX_BYTES = 16 << 20
_BOX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """class_id: (n,) int32; corners_xyxy: (n, 4) float64 within 0..1. points_xyv: (n, K, 3) float64, shares of the
    picture and whether the point is labelled (1) or not (0). Then what was not taken as it stands.

    clipped: boxes that reached over the border. doubled: the same label once more. flat: boxes without an area.
    """

    class_id: npt.NDArray[np.int32]
    corners_xyxy: npt.NDArray[np.float64]
    points_xyv: npt.NDArray[np.float64]
    clipped: int = 0
    doubled: int = 0
    flat: int = 0

    def __len__(self) -> int:
        """How many objects."""
        return len(self.class_id)


def is_file(path: Path) -> bool:
    """Whether a file is there that may be looked at; False too for what can be no path."""
    try:
        return path.is_file()
    except OSError:
        return False


def text_from_file(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """A text file in UTF-8, or in what its byte-order mark says; ConfigError when it is none."""
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise ConfigError(f"{path} has more than {max_bytes >> 20} MiB; expected a text file")
        has_utf16_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if has_utf16_mark else "utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.reason} at byte {exc.start}; save it as UTF-8") from exc
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read: {said_of_file(exc)}") from exc


def read_labels(path: Path, class_count: int, *, keypoint_shape: tuple[int, int] = (0, 0)) -> LabelFile:
    """The objects of a label file; an empty or missing file means none. ConfigError says which line is wrong.

    keypoint_shape: how many points follow the box on each line of a pose data set, and of how many values each (2 or
    3). A line without them has none that is labelled.
    """
    if not is_file(path):
        return _label_file([], keypoint_shape[0])
    rows = []
    for number, line in enumerate(text_from_file(path).splitlines(), start=1):
        if line.strip():
            rows.append(_row_from_line(line, f"{path}, line {number}", class_count, keypoint_shape))
    return _label_file(rows, keypoint_shape[0])


def _row_from_line(line: str, where: str, class_count: int, keypoint_shape: tuple[int, int]) -> tuple[float, ...]:
    """Class and x1, y1, x2, y2 as they stand; then x, y and 1 or 0 of each keypoint."""
    try:
        label, *values = (float(part) for part in line.split())
    except ValueError as exc:
        raise ConfigError(f"{where}: {line[:60]!r} is not a label; expected: class cx cy width height") from exc
    count, each = keypoint_shape
    points = (0.0,) * (POINT_WIDTH * count)
    if count and len(values) == _BOX + count * each:
        points = _labelled_points(values[_BOX:], keypoint_shape, where)
        values = values[:_BOX]
    if len(values) == _BOX:
        cx, cy, width, height = values
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        corners = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise ConfigError(f"{where}: {len(values) + 1} numbers found; expected class cx cy width height, or a polygon")
    if not 0 <= label < class_count or label != int(label):
        raise ConfigError(f"{where}: class {label:g} does not exist; data.yaml names {class_count} classes")
    box = " ".join(f"{value:.3g}" for value in corners)
    if not all(np.isfinite((*values, *corners))) or _is_outside(corners):
        raise ConfigError(
            f"{where}: the box {box} lies outside its picture; coordinates "
            "are shares of the picture's size, within 0..1; correct or remove the label"
        )
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise ConfigError(f"{where}: the box {box} has a negative width or height; correct or remove the label")
    return (label, *corners, *points)


def _labelled_points(values: list[float], shape: tuple[int, int], where: str) -> tuple[float, ...]:
    """x, y and 1 for each labelled point, 0 for the others: those of visibility 0, or without one those below 0."""
    table = np.array(values, dtype=np.float64).reshape(shape)
    is_labelled = table[:, 2] > 0 if shape[1] == POINT_WIDTH else (table >= 0).all(axis=1)
    places = table[is_labelled, :2]
    if not np.isfinite(table).all() or (places < -REACH).any() or (places > 1 + REACH).any():
        raise ConfigError(
            f"{where}: a keypoint lies outside its picture; coordinates are shares of the picture's size, within 0..1; "
            "correct or remove the label"
        )
    xyv = np.zeros((shape[0], POINT_WIDTH))
    xyv[is_labelled, :2] = places
    xyv[is_labelled, 2] = 1
    return tuple(xyv.reshape(-1).tolist())


def _is_outside(corners: tuple[float, float, float, float]) -> bool:
    x1, y1, x2, y2 = corners
    reaches_far = min(corners) < -REACH or max(corners) > 1 + REACH
    is_before = min(max(x1, x2), max(y1, y2)) < -ROUNDING
    return reaches_far or is_before or max(min(x1, x2), min(y1, y2)) > 1 + ROUNDING


def _label_file(rows: list[tuple[float, ...]], keypoints: int) -> LabelFile:
    columns = 1 + _BOX + POINT_WIDTH * keypoints
    table = np.array(rows, dtype=np.float64).reshape(-1, columns)
    single = np.array(list(dict.fromkeys(map(tuple, table.tolist()))), dtype=np.float64).reshape(-1, columns)
    boxes, points = single[:, 1 : 1 + _BOX], single[:, 1 + _BOX :]
    reaches = (boxes < -ROUNDING) | (boxes > 1 + ROUNDING)
    corners = np.clip(boxes, 0.0, 1.0)
    has_area = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    return LabelFile(
        class_id=single[has_area, 0].astype(np.int32),
        corners_xyxy=corners[has_area],
        points_xyv=points[has_area].reshape(int(has_area.sum()), keypoints, POINT_WIDTH),
        clipped=int((reaches.any(axis=1) & has_area).sum()),
        doubled=len(table) - len(single),
        flat=int((~has_area).sum()),
    )
