"""The keypoints of an ONNX file of one output: which of its columns they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnx import ModelProto

from photofinish.detections import ROW_WIDTH
from photofinish.errors import ExportError
from photofinish.export.graph.joining import Joining
from photofinish.export.loading.kinds import layout_from_shape
from photofinish.export.loading.layouts import MAX_NMS_FREE_ROWS
from photofinish.export.loading.metadata import OnnxMetadata
from photofinish.keypoints.layout import POINT_WIDTH, KeypointLayout, layout_of_count

PoseHead = Literal["rows", "yolo_raw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseTold:
    """What is told of a pose model's output. layout: None where nobody tells how many points there are.

    values: of each point, 2 (x, y) or 3 (and visibility). classes: 1 where nobody names them.
    """

    layout: KeypointLayout | None
    values: int
    classes: int


def pose_told(metadata: OnnxMetadata, what: str, *, asked: bool, classes: int) -> PoseTold | None:
    """What the file's metadata says of its keypoints; None for a model without. asked: the user passes --head pose."""
    if metadata.task != "pose" and not asked:
        return None
    layout, values = None, POINT_WIDTH
    if metadata.keypoint_shape is not None or not asked:
        layout, values = layout_from_shape(metadata.keypoint_shape, metadata.keypoint_names, what)
    return PoseTold(layout=layout, values=values, classes=classes or 1)


def pose_head(what: str, shape: tuple[int, ...], told: PoseTold) -> tuple[PoseHead, KeypointLayout]:
    """The layout of an output (N, …) and its keypoints; ExportError where they cannot stand in it."""
    if len(shape) != 3:
        raise ExportError(
            f"{what} returns {list(shape[1:])} per picture, which are no boxes with keypoints; pass a pose model, "
            "not a classifier"
        )
    _, first, second = shape
    before = 4 + told.classes
    is_rows = ROW_WIDTH < second and first <= MAX_NMS_FREE_ROWS and (first >= second or second == _width(told))
    left = second - ROW_WIDTH if is_rows else first - before
    count = len(told.layout) if told.layout else left // told.values
    if count < 1 or left != count * told.values:
        points = f"{len(told.layout)} points of {told.values} values" if told.layout else "points of 3 values"
        raise ExportError(
            f"{what} returns {list(shape[1:])} per picture, in which {points} cannot stand; expected rows "
            f"[n, 6 + points] or a YOLO head [4 + {told.classes} classes + points, anchors]: pass the names of its "
            "classes with --names"
        )
    return ("rows" if is_rows else "yolo_raw"), told.layout or layout_of_count(count)


def _width(told: PoseTold) -> int:
    return ROW_WIDTH + told.values * len(told.layout or ())


def model_with_visibility(model: ModelProto, head: PoseHead, shape: tuple[int, ...], count: int) -> ModelProto:
    """The model with a visibility of 1 behind each of its points of two values."""
    joining = Joining(model)
    output, wider = model.graph.output[0].name, shape[1:]
    if head == "rows":
        table = joining.visible_points((output,), first=ROW_WIDTH, count=count)
        return joining.finished(table, (wider[0], wider[1] + count))
    turned = joining.add("Transpose", [output], "upright", perm=[0, 2, 1])
    table = joining.visible_points((turned,), first=wider[0] - 2 * count, count=count)
    return joining.finished(table, (wider[0] + count, wider[1]), turned=True)


def model_of_boxes(model: ModelProto, what: str, shape: tuple[int, ...], classes: int) -> tuple[ModelProto, PoseHead]:
    """The model without what stands behind its boxes and classes: masks' coefficients, or keypoints."""
    first, second = shape[1:] if len(shape) == 3 else (0, 0)
    joining, output = Joining(model), model.graph.output[0].name
    if ROW_WIDTH <= second <= first <= MAX_NMS_FREE_ROWS:
        return joining.finished(joining.columns(output, 0, ROW_WIDTH, "boxes"), (first, ROW_WIDTH)), "rows"
    if not classes or not 4 + classes <= first < second:
        raise ExportError(
            f"{what} returns {list(shape[1:])} per picture with {classes or 'no'} class names, so where its boxes end "
            "is not known; pass the names with --names"
        )
    turned = joining.add("Transpose", [output], "upright", perm=[0, 2, 1])
    boxes = joining.columns(turned, 0, 4 + classes, "boxes")
    return joining.finished(boxes, (4 + classes, second), turned=True), "yolo_raw"
