"""A user's own ONNX file to a ModelSource: what it takes and gives, and the class names it carries."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import ExportError
from photofinish.export.graph.dynamic_batch import model_with_dynamic_batch
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.graph.source import ModelSource
from photofinish.model_card import Head

DEFAULT_INPUT_SIZE = 640
MIN_OPSET = 13
"""The frames contract uses Squeeze and Unsqueeze with their axes as inputs."""
MAX_NMS_FREE_ROWS = 1000


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
    names = _class_names(metadata)
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
        stride=int(metadata.get("stride", 32)),
        class_names=names or tuple(f"class{index}" for index in range(classes)),
        frames_contract=frames_contract,
        onnx_model=normal,
    )


def image_input(model: ModelProto) -> onnx.ValueInfoProto:
    """The model's one input that is not a constant."""
    constants = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    if len(inputs) != 1:
        raise ExportError(
            f"the ONNX model has {len(inputs)} inputs ({', '.join(item.name for item in inputs)}); expected one, images"
        )
    return inputs[0]


def normal_model(model: ModelProto, path: Path, *, input_wh: tuple[int, int], frames_contract: bool) -> ModelProto:
    """The model as the recipes expect it: first output only, our names, fixed height and width, dynamic batch."""
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < MIN_OPSET:
            model = _converted(model, path)
            break
    width, height = input_wh
    dims = (height, width, 3) if frames_contract else (3, height, width)
    names = ("frames", "detections") if frames_contract else ("images", "output0")
    return model_with_dynamic_batch(model, path.name, input_dims=dims, names=names)


def _converted(model: ModelProto, path: Path) -> ModelProto:
    try:
        converted: ModelProto = onnx.version_converter.convert_version(model, 17)
    except (RuntimeError, ValueError) as exc:
        raise ExportError(
            f"{path} has opset {model.opset_import[0].version}, and cannot be raised to 17 ({exc}); "
            "export it again with opset 17"
        ) from exc
    return converted


def _loaded_model(path: Path) -> ModelProto:
    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as exc:
        raise ExportError(f"{path} is not an ONNX model ({exc}); pass the .onnx file of a detector") from exc
    if not model.graph.node or not model.graph.output:
        raise ExportError(f"{path} is not an ONNX model: it has no graph; pass the .onnx file of a detector")
    return model


def _metadata(model: ModelProto) -> dict[str, Any]:
    """The file's metadata_props, Python literals decoded."""
    values: dict[str, Any] = {}
    for item in model.metadata_props:
        try:
            values[item.key] = ast.literal_eval(item.value)
        except (ValueError, SyntaxError):
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
    trained = metadata.get("imgsz")
    default = [trained] * 2 if isinstance(trained, int) else trained
    if not (isinstance(default, list) and len(default) == 2):
        default = [DEFAULT_INPUT_SIZE] * 2
    if wanted:
        default = [wanted] * 2
    found = (dims[width] or int(default[1]), dims[height] or int(default[0]))
    if wanted and found != (wanted, wanted):
        raise ExportError(
            f"{path} has a fixed input of {found[0]}x{found[1]}, --input-size asks for {wanted}; "
            "leave the flag out or export the ONNX with a dynamic size"
        )
    return found


def _class_names(metadata: dict[str, Any]) -> tuple[str, ...]:
    names = metadata.get("names")
    if isinstance(names, dict):
        return tuple(str(names[key]) for key in sorted(names))
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
