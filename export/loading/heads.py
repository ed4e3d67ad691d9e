"""Which layout an ONNX output has: its shape proposes, the reference photos and the user decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from onnx import ModelProto

from photofinish.errors import ExportError
from photofinish.export.graph.given_head import cells_from_anchors
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.loading.class_names import names_fit
from photofinish.export.loading.doubt import PIXEL, may_be_pose
from photofinish.export.loading.layouts import (
    GUESSED,
    IN_SHARES,
    LAYOUTS,
    Dims,
    Images,
    Reading,
    expect_layout,
    fitting,
    reading_of,
    without_points,
)
from photofinish.model_card import GivenHead

SAME = 1e-3
REMEDY = "pass a detector, not a segmentation, pose or classification model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is known of an output beside itself.

    head: the layout that the user names, or that a family's outputs were joined to. names: class names by number, {}
    where nobody names them. is_told: the user names it. is_vouched: a YOLO's exporter wrote the names. points: columns
    of keypoints. family: what `--head` would say of the family. unread: the names of the model's other outputs.
    """

    path: Path
    input_wh: tuple[int, int]
    names: Mapping[int, str]
    head: GivenHead | None = None
    is_told: bool = False
    is_vouched: bool = False
    points: int = 0
    family: GivenHead | None = None
    unread: tuple[str, ...] = ()


def read_head(model: ModelProto, photos: Images, given: Given) -> tuple[Reading, tuple[str, ...]]:
    """The model read as the layout that is given, or that its shape is taken for, and lines that the user must see.

    photos: (n, 3, height, width) in 0..1. An answer that the layout cannot give is refused always; one that it seldom
    gives is told where the user named the layout or a YOLO's exporter did, and refused where it is a guess.
    """
    raw = output_from_onnx(model, photos)
    dims = without_points(tuple(int(side) for side in raw.shape[1:]), given.head, given.points)
    if given.head:
        expect_layout(str(given.path), dims, given.head, given.input_wh)
    name = given.head or _guess(dims, given)
    if name is None:
        _refuse_shape(model, dims, photos, raw, given)
    reading = reading_of(model, dims, name, given.input_wh, photos, raw, points=given.points)
    _expect_names(reading, dims, given)
    doubts = _doubts(reading, raw, given)
    if not doubts:
        return reading, ()
    said = given.family or name
    if (given.is_told or given.is_vouched) and not reading.answers.impossible:
        return reading, (f"{given.path} is served as --head {said} would say, although {doubts}",)
    own = ""
    if not given.is_told and not reading.answers.impossible:
        own = f"if that is what it is, and it looks for other things than people and buses, pass --head {said}"
    is_joined = bool(given.family or given.points)
    remedy = own if is_joined else _remedy(model, dims, photos, raw, given, without=name, otherwise=own)
    raise ExportError(
        f"{given.path} returns {list(dims)} per picture, as {LAYOUTS[name].words} does, but "
        f"{doubts}: {remedy or f'no layout that Photofinish knows fits, {REMEDY}'}"
    )


def _doubts(reading: Reading, raw: Images, given: Given) -> str:
    """What speaks against the reading, in words; "" where nothing does."""
    found = [f"on the reference photos {'; '.join(reading.answers.doubts)}"] if reading.answers.doubts else []
    if reading.name == "yolo_raw_objectness" and not given.head and _is_like_yolox(raw, given.input_wh):
        found.append("it has one box a cell as YOLOX, whose pictures are BGR in 0..255; YOLOv5 has three")
    if given.unread:
        found.append(f"nobody reads its other outputs ({', '.join(given.unread[:4])})")
    return " and ".join(found)


def _is_like_yolox(raw: Images, input_wh: tuple[int, int]) -> bool:
    """Whether there is one box a cell with an objectness of its own. YOLOv6 has one box a cell and objectness 1."""
    return cells_from_anchors(raw.shape[1], input_wh) is not None and bool(np.abs(raw[..., 4] - 1).max() > SAME)


def _guess(dims: Dims, given: Given) -> GivenHead | None:
    """The layout that an output of this shape is taken for."""
    for name in GUESSED:
        if name in fitting(dims, given.input_wh):
            classes = LAYOUTS[name].classes(dims)
            if classes is None or not given.names or names_fit(given.names, classes):
                return name
    return None


def _expect_names(reading: Reading, dims: Dims, given: Given) -> None:
    """ExportError where the names that are given cannot be those of the classes that the layout decodes."""
    if given.names and reading.classes is not None and not names_fit(given.names, reading.classes):
        raise ExportError(
            f"{given.path} returns {list(dims)} per picture with {len(given.names)} class names; as "
            f"{LAYOUTS[reading.name].words} it has {reading.classes} classes: pass as many names with --names FILE"
        )


def _refuse_shape(model: ModelProto, dims: Dims, photos: Images, raw: Images, given: Given) -> NoReturn:
    known = f" with {len(given.names)} class names" if given.names else ""
    remedy = _remedy(model, dims, photos, raw, given, without=None, otherwise="")
    if not remedy:
        words = [LAYOUTS[name].words for name in GUESSED]
        remedy = f"expected {', '.join(words[:-1])}, or {words[-1].removeprefix('a YOLO head ')}: {REMEDY}"
    raise ExportError(f"{given.path} returns {list(dims)} per picture{known}; {remedy}")


def _remedy(
    model: ModelProto,
    dims: Dims,
    photos: Images,
    raw: Images,
    given: Given,
    *,
    without: GivenHead | None,
    otherwise: str,
) -> str:
    """The `--head` under which nothing is odd about the answers, or `otherwise`, or one that they do not exclude."""
    possible = ""
    for name in fitting(dims, given.input_wh):
        if name == without or (name in IN_SHARES and np.abs(raw[..., :4]).max() > PIXEL):
            continue
        reading = reading_of(model, dims, name, given.input_wh, photos, raw)
        if reading.classes is not None and given.names and not names_fit(given.names, reading.classes):
            continue
        words = LAYOUTS[name].words
        if not reading.answers.doubts:
            return f"as {words} it shows {reading.answers.boxes} boxes there, so pass --head {name}"
        if not reading.answers.impossible:
            possible = possible or f"if it is {words}, pass --head {name}"
    classes = len(given.names) or 1
    if not otherwise and not possible and not given.unread and may_be_pose(raw, classes):
        return f"if it is a pose model of {'one class' if classes == 1 else f'{classes} classes'}, pass --head pose"
    return otherwise or possible
