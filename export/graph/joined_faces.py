"""Face detectors with five landmarks, YuNet and YOLOv5-face, as one raw head [4 + 1 + 15, anchors] in pixels.

Both give the points in the order of `keypoints.FACE` and tell nothing of their visibility.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from photofinish.export.graph.given_head import cells_from_anchors, model_in_255
from photofinish.export.graph.joining import Joining
from photofinish.keypoints.layout import FACE, POINT_WIDTH

STRIDES = (8, 16, 32)
YUNET_OUTPUTS = tuple(f"{what}_{stride}" for what in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
YOLOV5_FACE_ANCHORS = (
    ((4, 5), (8, 10), (13, 16)),
    ((23, 29), (43, 55), (73, 105)),
    ((146, 217), (231, 300), (335, 433)),
)
"""Width and height in pixels, by stride; the same in all sizes of YOLOv5-face without a fourth scale."""
YOLOV5_FACE_COLUMNS = 16
"""x y w h, object, five points, class, of each anchor."""
POINTS = len(FACE)
COLUMNS = 4 + 1 + POINT_WIDTH * POINTS


def joined_yunet(model: ModelProto, input_wh: tuple[int, int]) -> ModelProto:
    """YuNet of RGB pictures in 0..1. Its score is cls × obj, as in its training code; OpenCV tells the square root."""
    cells = _cells(input_wh)
    joining = Joining(model)
    scores, objects, boxes, points = (
        joining.add("Concat", [f"{what}_{stride}" for stride in STRIDES], what, axis=1)
        for what in ("cls", "obj", "bbox", "kps")
    )
    place, stride = joining.constant("cell", cells[None, :, :2]), joining.constant("stride", cells[None, :, 2:])
    # Cells begin at their corner: no half cell.
    centre = joining.add("Add", [joining.columns(boxes, 0, 2, "offset"), place], "shifted")
    centre = joining.add("Mul", [centre, stride], "centre")
    size = joining.add("Exp", [joining.columns(boxes, 2, 4, "log_size")], "cell_size")
    size = joining.add("Mul", [size, stride], "size")
    score = joining.add("Mul", [scores, objects], "score")
    places = joining.constant("cells", np.tile(cells[None, :, :2], POINTS))
    landmarks = joining.add("Mul", [joining.add("Add", [points, places], "shifted_points"), stride], "points")
    return _finished(joining, (centre, size, score, landmarks), len(cells), input_wh, bgr_255=True)


def joined_yolov5_face(model: ModelProto, outputs: Sequence[str], input_wh: tuple[int, int]) -> ModelProto:
    """YOLOv5-face. outputs: its three raw scales [N, 48, rows, columns], finest first."""
    joining = Joining(model)
    tables, cells, anchors = [], [], []
    for name, stride, sizes in zip(outputs, STRIDES, YOLOV5_FACE_ANCHORS, strict=True):
        columns, rows = input_wh[0] // stride, input_wh[1] // stride
        split = joining.constant(f"split_{stride}", [0, len(sizes), YOLOV5_FACE_COLUMNS, rows * columns], np.int64)
        flat = joining.constant(f"flat_{stride}", [0, len(sizes) * rows * columns, YOLOV5_FACE_COLUMNS], np.int64)
        scale = joining.add("Reshape", [name, split], f"scale_{stride}")
        scale = joining.add("Transpose", [scale], f"turned_{stride}", perm=[0, 1, 3, 2])
        tables.append(joining.add("Reshape", [scale, flat], f"table_{stride}"))
        grid_y, grid_x = np.mgrid[:rows, :columns]
        grid = np.stack([grid_x, grid_y, np.full_like(grid_x, stride)], axis=-1).reshape(-1, 3)
        cells.append(np.tile(grid, (len(sizes), 1)))
        anchors.append(np.repeat(np.array(sizes), rows * columns, axis=0))
    cell, anchor = np.concatenate(cells).astype(np.float32), np.concatenate(anchors).astype(np.float32)
    table = joining.add("Concat", tables, "scales", axis=1)
    near = joining.add("Sigmoid", [joining.columns(table, 0, 4, "raw_box")], "near")
    doubled = joining.add("Mul", [near, joining.constant("two", 2)], "doubled")
    centre = joining.columns(doubled, 0, 2, "doubled_offset")
    centre = joining.add("Add", [centre, joining.constant("cell", cell[None, :, :2] - 0.5)], "cell_centre")
    stride_name = joining.constant("stride", cell[None, :, 2:])
    centre = joining.add("Mul", [centre, stride_name], "centre")
    size = joining.columns(doubled, 2, 4, "doubled_size")
    size = joining.add("Mul", [size, size], "squared")
    size = joining.add("Mul", [size, joining.constant("anchor", anchor[None])], "size")
    raw_scores = [joining.columns(table, at, at + 1, f"raw_{at}") for at in (4, YOLOV5_FACE_COLUMNS - 1)]
    scores = [joining.add("Sigmoid", [raw], f"score_{index}") for index, raw in enumerate(raw_scores)]
    score = joining.add("Mul", scores, "score")
    points = joining.columns(table, 5, 5 + 2 * POINTS, "raw_points")  # no sigmoid
    points = joining.add("Mul", [points, joining.constant("anchors", np.tile(anchor[None], POINTS))], "near_points")
    corners = np.tile(cell[None, :, :2] * cell[None, :, 2:], POINTS)
    points = joining.add("Add", [points, joining.constant("corners", corners)], "points")
    return _finished(joining, (centre, size, score, points), len(cell), input_wh, bgr_255=False)


def _cells(input_wh: tuple[int, int]) -> npt.NDArray[np.float32]:
    count = sum((input_wh[0] // stride) * (input_wh[1] // stride) for stride in STRIDES)
    cells = cells_from_anchors(count, input_wh)
    if cells is None:
        raise ValueError(f"no cells at {input_wh}")
    return cells


def _finished(
    joining: Joining, parts: tuple[str, ...], anchors: int, input_wh: tuple[int, int], *, bgr_255: bool
) -> ModelProto:
    joined = joining.finished(joining.visible_points(parts, first=5, count=POINTS), (COLUMNS, anchors), turned=True)
    return model_in_255(joined, (COLUMNS, anchors), swapped=True) if bgr_255 else joined
