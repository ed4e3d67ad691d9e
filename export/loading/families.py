"""ONNX files of families that answer with several outputs: recognised by names and shapes, and joined into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from photofinish.errors import ExportError
from photofinish.export.graph.joined_boxes import joined_corners, joined_queries, joined_rows, with_constant_input
from photofinish.export.graph.joined_faces import (
    YOLOV5_FACE_ANCHORS,
    YOLOV5_FACE_COLUMNS,
    YUNET_OUTPUTS,
    joined_yolov5_face,
    joined_yunet,
)
from photofinish.export.graph.session import output_from_onnx, shapes_from_onnx
from photofinish.export.loading.class_names import names_fit
from photofinish.export.loading.layouts import LAYOUTS
from photofinish.export.loading.pose import PoseTold, model_of_boxes, model_with_visibility, pose_head
from photofinish.keypoints.layout import FACE, POINT_WIDTH, KeypointLayout
from photofinish.model_card import NMS_IOU, GivenHead

Shapes = Mapping[str, tuple[int, ...]]
"""Of the outputs, in the model's order, with the batch dimension; 0 where the file leaves a side open."""
NMS_OPERATORS = frozenset({"NonMaxSuppression", "EfficientNMS_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT"})
MOST = 0.5
"""The share of all queries on the photos above which most of them say "nothing"."""
SIZES_INPUT = "orig_target_sizes"
"""The second input of RT-DETR's and D-FINE's own exports: width and height that boxes are told in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that share their outputs. words: what they are. head: what they are once joined.

    fits: of the outputs' names and shapes, which may be several families'. join: the joined model. names: the classes
    where the file names none.
    """

    words: str
    head: GivenHead
    fits: Callable[[Shapes], bool]
    join: Callable[[ModelProto, Shapes, tuple[int, int]], ModelProto]
    keypoints: KeypointLayout | None = None
    nms_iou: float = NMS_IOU
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A model of one output, as a family's, a pose model's, or as it came.

    head: its layout, None where only its shape tells. said: what `--head` would say. unread: outputs that nobody reads.
    """

    model: ModelProto
    head: GivenHead | None = None
    said: GivenHead | None = None
    keypoints: KeypointLayout | None = None
    nms_iou: float = NMS_IOU
    names: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def joined_model(
    model: ModelProto,
    what: str,
    told: GivenHead | None,
    input_wh: tuple[int, int],
    *,
    photos: npt.NDArray[np.float32],
    names: Mapping[int, str],
    pose: PoseTold | None = None,
    boxes_of: int | None = None,
) -> Joined:
    """The model with one output, as the family of its outputs, or the one that is told, decodes it.

    photos, names: the reference photos and the class names that are known, where outputs do not tell the family.
    pose: what the file or the user says of its keypoints. boxes_of: only its boxes are wanted, of so many named
    classes. ExportError for a told family that does not fit, for outputs of which nobody can tell the family, and for
    graphs that run NMS themselves.
    """
    if operators := sorted({node.op_type for node in model.graph.node} & NMS_OPERATORS):
        raise ExportError(
            f"{what} removes overlapping boxes itself ({', '.join(operators)}), so its pictures have different numbers "
            "of them; export it again without NMS (Ultralytics: nms=False, YOLO-NAS: postprocessing=False, YOLOv7: "
            "without --end2end)"
        )
    shapes = output_shapes(model, input_wh)
    if boxes_of is not None:
        alone, layout_name = model_of_boxes(model, what, next(iter(shapes.values())), boxes_of)
        return Joined(model=alone, head=layout_name)
    if pose:
        shape = next(iter(shapes.values()))
        head, layout = pose_head(what, shape, pose)
        with_all = model if pose.values == POINT_WIDTH else model_with_visibility(model, head, shape, len(layout))
        return Joined(model=with_all, head=head, said="pose", keypoints=layout, unread=tuple(shapes)[1:])
    asked = FAMILIES.get(told) if told else None
    if asked and not asked.fits(shapes) and told not in LAYOUTS:
        raise ExportError(f"{what} returns {_listed(shapes)}, which --head {told} cannot be: expected {asked.words}")
    if told and not (asked and asked.fits(shapes)):
        return Joined(model=model, head=told, unread=tuple(shapes)[1:])
    name = told or _family_name(model, what, shapes, photos, names)
    if name is None:
        return Joined(model=model, unread=tuple(shapes)[1:])
    family = FAMILIES[name]
    return Joined(
        model=family.join(model, shapes, input_wh),
        head=family.head,
        said=name,
        keypoints=family.keypoints,
        nms_iou=family.nms_iou,
        names=family.names,
    )


def output_shapes(model: ModelProto, input_wh: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs, as the file tells them; where it leaves sides open, as one picture gives them."""
    told = {
        item.name: tuple(int(dim.dim_value) for dim in item.type.tensor_type.shape.dim) for item in model.graph.output
    }
    if all(shape and all(shape[1:]) for shape in told.values()):
        return told
    picture = np.zeros((1, 3, input_wh[1], input_wh[0]), np.float32)
    return shapes_from_onnx(model, picture)


def with_sizes_told(model: ModelProto, input_wh: tuple[int, int]) -> ModelProto:
    """The model without the input that asks for the size of the original picture: boxes come in pixels of the input."""
    if any(item.name == SIZES_INPUT for item in model.graph.input):
        return with_constant_input(model, SIZES_INPUT, np.array([input_wh], dtype=np.int64))
    return model


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in list(shapes.items())[:6])


def _is_yolov5_face(shapes: Shapes) -> bool:
    channels = len(YOLOV5_FACE_ANCHORS[0]) * YOLOV5_FACE_COLUMNS
    return len(shapes) == len(YOLOV5_FACE_ANCHORS) and all(
        len(shape) == 4 and shape[1] == channels for shape in shapes.values()
    )


def _family_name(
    model: ModelProto, what: str, shapes: Shapes, photos: npt.NDArray[np.float32], names: Mapping[int, str]
) -> GivenHead | None:
    """The family that the outputs are, None where they are none's; ExportError where they can be several's."""
    fitting: list[GivenHead] = [key for key, item in FAMILIES.items() if item.fits(shapes)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    if _is_queries(shapes):
        return _family_of_queries(model, what, shapes, photos, names)
    ways = ", or ".join(f"--head {name} ({FAMILIES[name].words})" for name in fitting)
    raise ExportError(f"{what} returns {_listed(shapes)}, either of which can be the corners: pass {ways}")


def _family_of_queries(
    model: ModelProto, what: str, shapes: Shapes, photos: npt.NDArray[np.float32], names: Mapping[int, str]
) -> GivenHead:
    """Whether the last logit means "nothing" (DETR, a softmax) or is a class as the others (RT-DETR, sigmoids).

    Names tell it by their number. On the photos a DETR says "nothing" in most of its queries, and as a sigmoid's that
    column would be full of objects; where most queries prefer the last column without being sure, neither is shown.
    """
    columns = shapes["logits"][2]
    with_none, without = names_fit(names, columns - 1), names_fit(names, columns)
    told: GivenHead | None = None if not names or with_none == without else "detr" if with_none else "rtdetr"
    logits = output_from_onnx(model, photos, output="logits")
    prefers_last = logits.argmax(axis=2) == columns - 1
    shown: GivenHead | None = "rtdetr"
    if prefers_last.mean() > MOST:
        shown = "detr" if (prefers_last & (logits[..., -1] > 0)).mean() > MOST else None
    if (told or shown) and (told is None or shown in (None, told)):
        return told or shown or "detr"
    known = f" with {len(names)} class names" if names else ""
    raise ExportError(
        f"{what} returns {_listed(shapes)}{known}, and names and photos do not tell whether its last class is none: "
        "pass --head detr if it is (DETR, YOLOS: a softmax), --head rtdetr if not (RT-DETR, D-FINE: sigmoids)"
    )


def _corners(shapes: Shapes, *, boxes_first: bool) -> tuple[str, str] | None:
    """The outputs of corners and of scores, where those are the two there are, in this order; else None."""
    if len(shapes) != 2 or any(len(shape) != 3 for shape in shapes.values()):
        return None
    boxes, scores = tuple(shapes) if boxes_first else tuple(shapes)[::-1]
    (_, anchors, sides), (_, rows, classes) = shapes[boxes], shapes[scores]
    return (boxes, scores) if anchors == rows > 0 and sides == 4 and classes > 0 else None


def _is_queries(shapes: Shapes) -> bool:
    boxes_first = next(iter(shapes), "") == "pred_boxes"
    return set(shapes) == {"logits", "pred_boxes"} and _corners(shapes, boxes_first=boxes_first) is not None


def _are_corners(shapes: Shapes, *, boxes_first: bool) -> bool:
    return not _is_queries(shapes) and _corners(shapes, boxes_first=boxes_first) is not None


def _join_corners(model: ModelProto, shapes: Shapes, *, boxes_first: bool, in_255: bool) -> ModelProto:
    boxes, scores = _corners(shapes, boxes_first=boxes_first) or ("", "")
    _, anchors, classes = shapes[scores]
    return joined_corners(model, boxes, scores, anchors=anchors, classes=classes, in_255=in_255)


def _join_queries(model: ModelProto, shapes: Shapes, *, with_none: bool) -> ModelProto:
    _, queries, columns = shapes["logits"]
    classes = columns - with_none
    return joined_queries(model, "pred_boxes", "logits", queries=queries, classes=classes, with_none=with_none)


def _join_rows(model: ModelProto, shapes: Shapes, input_wh: tuple[int, int]) -> ModelProto:
    return joined_rows(model, "labels", "boxes", "scores", count=shapes["boxes"][1])


FAMILIES: Mapping[GivenHead, Family] = {
    "yunet": Family(
        words="YuNet's twelve outputs, cls_8 to kps_32",
        head="yolo_raw",
        fits=lambda shapes: set(YUNET_OUTPUTS) == set(shapes),
        join=lambda model, shapes, input_wh: joined_yunet(model, input_wh),
        keypoints=FACE,
        nms_iou=0.45,
        names=("face",),
    ),
    "yolov5_face": Family(
        words="YOLOv5-face's three outputs [48, rows, columns]",
        head="yolo_raw",
        fits=_is_yolov5_face,
        join=lambda model, shapes, input_wh: joined_yolov5_face(model, tuple(shapes), input_wh),
        keypoints=FACE,
        nms_iou=0.5,
        names=("face",),
    ),
    "detr": Family(
        words="logits [n, classes + none] and pred_boxes [n, 4], as DETR and YOLOS of Hugging Face",
        head="rtdetr",
        fits=lambda shapes: _is_queries(shapes) and shapes["logits"][2] > 1,
        join=lambda model, shapes, input_wh: _join_queries(model, shapes, with_none=True),
    ),
    "rtdetr": Family(
        words="logits [n, classes] and pred_boxes [n, 4], as RT-DETR and D-FINE of Hugging Face",
        head="rtdetr",
        fits=_is_queries,
        join=lambda model, shapes, input_wh: _join_queries(model, shapes, with_none=False),
    ),
    "dfine": Family(
        words="labels [n], boxes [n, 4] and scores [n], as RT-DETR's and D-FINE's own exports",
        head="rows",
        fits=lambda shapes: set(shapes) == {"labels", "boxes", "scores"} and len(shapes["boxes"]) == 3,
        join=_join_rows,
    ),
    "yolo_nas": Family(
        words="corners [anchors, 4], then scores [anchors, classes], as YOLO-NAS",
        head="yolo_raw",
        fits=lambda shapes: _are_corners(shapes, boxes_first=True),
        join=lambda model, shapes, input_wh: _join_corners(model, shapes, boxes_first=True, in_255=False),
    ),
    "damo_yolo": Family(
        words="scores [anchors, classes], then corners [anchors, 4], as DAMO-YOLO",
        head="yolo_raw",
        fits=lambda shapes: _are_corners(shapes, boxes_first=False),
        join=lambda model, shapes, input_wh: _join_corners(model, shapes, boxes_first=False, in_255=True),
    ),
}
"""By the name that `--head` takes."""
