"""The output layouts that `--head` names: which outputs can be one, and how its graph becomes one that we decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from photofinish.detections import ROW_WIDTH
from photofinish.errors import ExportError
from photofinish.export.graph.given_head import (
    cells_from_anchors,
    is_decoded,
    model_in_255,
    model_with_decoded_cells,
    model_with_rows_from_queries,
    model_with_rows_in_pixels,
)
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.loading.doubt import PhotoAnswers, answers_from_raw
from photofinish.model_card import GivenHead, Head

MAX_NMS_FREE_ROWS = 1000
GUESSED: tuple[GivenHead, ...] = ("rows", "yolo_raw", "yolo_raw_objectness")
"""Layouts that an output's shape is taken for, unless the photos say otherwise; the others have to be asked for."""
IN_SHARES: tuple[GivenHead, ...] = ("rows_normalised", "rtdetr")
"""Layouts whose boxes are shares of the picture."""

Images = npt.NDArray[np.float32]
Dims = tuple[int, ...]
WrappedModel = tuple[ModelProto, Dims]
Wrap = Callable[[ModelProto, Dims, tuple[int, int], Images], WrappedModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLayout:
    """One layout. words: its shape. head: what it is once wrapped. fits: of dims (rows, columns) and the input's size.

    classes: how many it decodes, None where the shape does not tell. wrap: the graph with the recipes' normalisation.
    """

    words: str
    head: Head
    fits: Callable[[int, int, tuple[int, int]], bool]
    classes: Callable[[Dims], int | None]
    wrap: Wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A model read as one of the layouts, and its answers on the reference photos."""

    name: GivenHead
    layout: OutputLayout
    model: ModelProto
    dims: Dims
    classes: int | None
    answers: PhotoAnswers


def reading_of(
    model: ModelProto,
    dims: Dims,
    name: GivenHead,
    input_wh: tuple[int, int],
    images: Images,
    raw: Images,
    *,
    points: int = 0,
) -> Reading:
    """The model read as the layout `name`. raw: its own output for the photos `images` (n, 3, height, width).

    points: columns of keypoints at the end of it, which `dims` are without.
    """
    layout = LAYOUTS[name]
    wrapped, wrapped_dims = layout.wrap(model, dims, input_wh, images)
    output = raw if wrapped is model else output_from_onnx(wrapped, images)
    return Reading(
        name=name,
        layout=layout,
        model=wrapped,
        dims=_with_points(wrapped_dims, name, points),
        classes=layout.classes(dims),
        answers=answers_from_raw(output, layout.head, points=points),
    )


def without_points(dims: Dims, name: GivenHead | None, points: int) -> Dims:
    """The shape without the columns of keypoints, which only rows and raw heads have."""
    return _with_points(dims, name, -points)


def _with_points(dims: Dims, name: GivenHead | None, points: int) -> Dims:
    if not points or len(dims) != 2:
        return dims
    return (dims[0], dims[1] + points) if name == "rows" else (dims[0] + points, dims[1])


def fitting(dims: Dims, input_wh: tuple[int, int]) -> tuple[GivenHead, ...]:
    """The layouts that an output of this shape can be."""
    return tuple(name for name, item in LAYOUTS.items() if len(dims) == 2 and item.fits(dims[0], dims[1], input_wh))


def _as_it_is(model: ModelProto, dims: Dims, input_wh: tuple[int, int], images: Images) -> WrappedModel:
    return model, dims


def _yolox(model: ModelProto, dims: Dims, input_wh: tuple[int, int], images: Images) -> WrappedModel:
    wrapped = model_in_255(model, dims, swapped=True)
    if is_decoded(output_from_onnx(wrapped, images), input_wh):
        return wrapped, dims
    return model_with_decoded_cells(wrapped, dims, input_wh), dims


def _rtdetr(model: ModelProto, dims: Dims, input_wh: tuple[int, int], images: Images) -> WrappedModel:
    return model_with_rows_from_queries(model, dims, input_wh), (dims[0], ROW_WIDTH)


def _rows_normalised(model: ModelProto, dims: Dims, input_wh: tuple[int, int], images: Images) -> WrappedModel:
    return model_with_rows_in_pixels(model, dims, input_wh), dims


LAYOUTS: Mapping[GivenHead, OutputLayout] = {
    "rows": OutputLayout(
        words="detection rows [n, 6]",
        head="rows",
        fits=lambda first, second, wh: second == ROW_WIDTH and first <= MAX_NMS_FREE_ROWS,
        classes=lambda dims: None,
        wrap=_as_it_is,
    ),
    "rows_normalised": OutputLayout(
        words="detection rows [n, 6] with corners as shares of the picture",
        head="rows",
        fits=lambda first, second, wh: second == ROW_WIDTH and first <= MAX_NMS_FREE_ROWS,
        classes=lambda dims: None,
        wrap=_rows_normalised,
    ),
    "yolo_raw": OutputLayout(
        words="a YOLO head [4 + classes, anchors]",
        head="yolo_raw",
        fits=lambda first, second, wh: 4 < first < second,
        classes=lambda dims: dims[0] - 4,
        wrap=_as_it_is,
    ),
    "yolo_raw_objectness": OutputLayout(
        words="a YOLO head [anchors, 5 + classes]",
        head="yolo_raw_objectness",
        fits=lambda first, second, wh: 5 < second < first,
        classes=lambda dims: dims[1] - 5,
        wrap=_as_it_is,
    ),
    "yolox": OutputLayout(
        words="a YOLOX head [anchors, 5 + classes]",
        head="yolo_raw_objectness",
        fits=lambda first, second, wh: 5 < second and cells_from_anchors(first, wh) is not None,
        classes=lambda dims: dims[1] - 5,
        wrap=_yolox,
    ),
    "rtdetr": OutputLayout(
        words="RT-DETR queries [n, 4 + classes]",
        head="rows",
        fits=lambda first, second, wh: second > 4 and first <= MAX_NMS_FREE_ROWS,
        classes=lambda dims: dims[1] - 4,
        wrap=_rtdetr,
    ),
}


def expect_layout(path: str, dims: Dims, name: GivenHead, input_wh: tuple[int, int]) -> None:
    """ExportError unless an output of this shape can be the layout that was asked for."""
    if name not in fitting(dims, input_wh):
        raise ExportError(
            f"{path} returns {list(dims)} per picture, which --head {name} cannot be: expected {LAYOUTS[name].words}"
        )
