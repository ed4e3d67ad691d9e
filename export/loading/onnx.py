"""A user's own ONNX file to a ModelSource: what it takes and gives, and the class names it carries."""

from __future__ import annotations

import ast
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.dynamic_batch import model_with_dynamic_batch
from photofinish.export.graph.model import OPSET, image_input, model_with_opset
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.graph.source import DEFAULT_INPUT_SIZE, ModelSource, class_names_from
from photofinish.model_card import Head
from photofinish.variant import tensor_names

DEFAULT_STRIDE = 32
MIN_OPSET = 13
"""The frames contract uses Squeeze and Unsqueeze with their axes as inputs."""
MAX_NMS_FREE_ROWS = 1000
MAX_CLASSES = 100_000
MAX_SIDE = 16_384
"""What metadata is believed: more is no detector's, and would be reserved in memory."""


def source_from_onnx(path: Path, *, model: str, sha256: str, input_size: int | None) -> ModelSource:
    """A detector from an ONNX file: images [N,3,H,W] FP32 in (or our frames contract), rows or a raw YOLO head out.

    Class names, stride and size come from the file's metadata where Ultralytics wrote them.
    """
    content = _loaded_model(path)
    metadata = _metadata(content)
    _expect_detector(path, content, metadata)
    image = image_input(content)
    frames_contract = image.type.tensor_type.elem_type == TensorProto.UINT8
    input_wh = _input_wh(path, image, metadata, input_size, frames_contract=frames_contract)
    names = _class_names(path, metadata)
    normal = normal_model(content, path, input_wh=input_wh, frames_contract=frames_contract)
    raw_dims = _raw_dims(normal, input_wh, frames_contract=frames_contract)
    head: Head = "rows" if frames_contract else _head_from_dims(path, raw_dims, len(names))
    if frames_contract and raw_dims != (MAX_ROWS, ROW_WIDTH):
        raise ExportError(f"{path} takes uint8 frames but returns {raw_dims}; expected ({MAX_ROWS}, {ROW_WIDTH}) rows")
    classes = len(names) or _class_count(head, raw_dims)
    return ModelSource(
        kind="onnx",
        model=model,
        weights=path.name,
        weights_sha256=sha256,
        task="detect",
        head=head,
        raw_dims=raw_dims,
        nms_free=head == "rows",
        input_wh=input_wh,
        stride=_stride(metadata),
        class_names=class_names_from(names, count=classes),
        frames_contract=frames_contract,
        onnx_model=normal,
    )


def normal_model(model: ModelProto, path: Path, *, input_wh: tuple[int, int], frames_contract: bool) -> ModelProto:
    """The model as the recipes expect it: first output only, our names, fixed height and width, dynamic batch."""
    model = model_with_opset(model, str(path), lowest=MIN_OPSET, raised_to=OPSET)
    width, height = input_wh
    dims = (height, width, 3) if frames_contract else (3, height, width)
    names = tensor_names("frames" if frames_contract else "tensor")
    return model_with_dynamic_batch(model, path.name, input_dims=dims, names=names)


def _loaded_model(path: Path) -> ModelProto:
    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as exc:
        raise ExportError(
            f"{path} is not an ONNX model ({reason_from_error(exc)}); pass the .onnx file of a detector"
        ) from exc
    if not model.graph.node or not model.graph.output:
        raise ExportError(f"{path} is not an ONNX model: it has no graph; pass the .onnx file of a detector")
    return model


def _metadata(model: ModelProto) -> dict[str, Any]:
    """The file's metadata_props, Python literals decoded. What a key holds is text that anybody may have written."""
    values: dict[str, Any] = {}
    for item in model.metadata_props:
        try:
            values[item.key] = ast.literal_eval(item.value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            values[item.key] = item.value
    return values


def _expect_detector(path: Path, model: ModelProto, metadata: dict[str, Any]) -> None:
    task = metadata.get("task", "detect")
    if task != "detect":
        raise ExportError(f"{path} is a model for {task}; Photofinish serves detectors, so export detection weights")
    kinds = {item.data_type for item in model.graph.initializer}
    quantised = any(
        node.op_type in ("QuantizeLinear", "QLinearConv", "DynamicQuantizeLinear") for node in model.graph.node
    )
    if TensorProto.FLOAT16 in kinds or quantised:
        raise ExportError(
            f"{path} is already {'quantised' if quantised else 'FP16'}; pass the FP32 model, from which Photofinish "
            "makes the lower precisions itself and compares them"
        )
    kind = image_input(model).type.tensor_type.elem_type
    if kind not in (TensorProto.FLOAT, TensorProto.UINT8):
        raise ExportError(
            f"{path} takes {TensorProto.DataType.Name(kind)} input; expected FLOAT images [N,3,H,W], "
            "or UINT8 frames [N,H,W,3]"
        )


def _input_wh(
    path: Path, image: onnx.ValueInfoProto, metadata: dict[str, Any], wanted: int | None, *, frames_contract: bool
) -> tuple[int, int]:
    """Width and height: those fixed in the file, else --input-size, else the file's metadata, else 640."""
    dims = [item.dim_value for item in image.type.tensor_type.shape.dim]
    channels, height, width = (3, 1, 2) if frames_contract else (1, 2, 3)
    if len(dims) != 4 or dims[channels] not in (0, 3):
        expected = "[N,H,W,3]" if frames_contract else "[N,3,H,W]"
        raise ExportError(f"{path} takes input of shape {dims} (0: dynamic); expected {expected}")
    default = (wanted, wanted) if wanted else _trained_wh(metadata)
    found = (dims[width] or default[0], dims[height] or default[1])
    if wanted and found != (wanted, wanted):
        raise ExportError(
            f"{path} has a fixed input of {found[0]}x{found[1]}, --input-size asks for {wanted}; "
            "leave the flag out or export the ONNX with a dynamic size"
        )
    return found


def _trained_wh(metadata: dict[str, Any]) -> tuple[int, int]:
    """Width and height that the metadata tells as `imgsz` (height first), 640 × 640 where it tells nothing usable."""
    told = metadata.get("imgsz")
    sides: list[Any] = list(told) if isinstance(told, (list, tuple)) else [told, told]
    if len(sides) == 2 and all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in sides):
        return sides[1], sides[0]
    return DEFAULT_INPUT_SIZE, DEFAULT_INPUT_SIZE


def _stride(metadata: dict[str, Any]) -> int:
    told = metadata.get("stride")
    return int(told) if isinstance(told, (int, float)) and 1 <= told <= MAX_SIDE else DEFAULT_STRIDE


def _class_names(path: Path, metadata: dict[str, Any]) -> tuple[str, ...]:
    """The names that the metadata tells, by class number; () where it tells none."""
    names = metadata.get("names")
    if isinstance(names, dict):
        if not all(isinstance(key, int) and 0 <= key < MAX_CLASSES for key in names):
            raise ExportError(
                f"{path} names classes {reprlib.repr(list(names))} in its metadata; expected numbers from 0 to "
                f"{MAX_CLASSES - 1}: export it again, or remove `names` from the metadata"
            )
        return class_names_from(names, count=max(names, default=-1) + 1)
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _raw_dims(model: ModelProto, input_wh: tuple[int, int], *, frames_contract: bool) -> tuple[int, ...]:
    width, height = input_wh
    if frames_contract:
        output = output_from_onnx(model, np.zeros((1, height, width, 3), np.uint8))
    else:
        output = output_from_onnx(model, np.zeros((1, 3, height, width), np.float32))
    return tuple(int(side) for side in output.shape[1:])


def _head_from_dims(path: Path, dims: tuple[int, ...], classes: int) -> Head:
    """Which of the known layouts an output of this shape is. classes: how many names the file carries, or 0."""
    if len(dims) == 2:
        first, second = dims
        if second == ROW_WIDTH and first <= MAX_NMS_FREE_ROWS:
            return "rows"
        if 4 < first < second and classes in (0, first - 4):
            return "yolo_raw"
        if 5 < second < first and classes in (0, second - 5):
            return "yolo_raw_objectness"
    known = f" with {classes} class names" if classes else ""
    raise ExportError(
        f"{path} returns {list(dims)} per picture{known}; expected detection rows [n, 6], a YOLO head "
        "[4 + classes, anchors], or [anchors, 5 + classes]: pass a detector, not a segmentation, pose or "
        "classification model"
    )


def _class_count(head: Head, dims: tuple[int, ...]) -> int:
    return {"yolo_raw": dims[0] - 4, "yolo_raw_objectness": dims[1] - 5}.get(head, 80)
