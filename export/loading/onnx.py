"""A user's own ONNX file to a ModelSource: what it takes and gives, and the class names it carries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.dynamic_batch import model_with_dynamic_batch
from photofinish.export.graph.model import OPSET, image_input, model_with_opset
from photofinish.export.graph.parity import frames_from_pictures, reference_picture_paths
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.graph.source import ModelSource
from photofinish.export.loading.class_names import names_of_classes
from photofinish.export.loading.families import Joined, joined_model, with_sizes_told
from photofinish.export.loading.heads import Given, read_head
from photofinish.export.loading.kinds import refuse_kind
from photofinish.export.loading.metadata import OnnxMetadata, metadata_from_model
from photofinish.export.loading.pose import pose_told
from photofinish.export.loading.told import Told
from photofinish.keypoints.layout import POINT_WIDTH
from photofinish.letterbox import images_nchw_from_frames
from photofinish.variant import tensor_names

MIN_OPSET = 13
"""The frames contract uses Squeeze and Unsqueeze with their axes as inputs."""
UNNAMED_ROWS = 80
"""Classes that rows without any names are taken to have."""


def source_from_onnx(
    path: Path, *, model: str, sha256: str, input_size: int | None, told: Told | None = None
) -> ModelSource:
    """A detector from an ONNX file: images [N,3,H,W] FP32 in (or our frames contract), rows or a raw YOLO head out.

    Class names, stride and size come from the file's metadata where Ultralytics wrote them, or from what is told. The
    layout is what the output's shape and the answers on the reference photos allow; ExportError where they disagree.
    """
    told = told or Told()
    content = _loaded_model(path)
    metadata = metadata_from_model(content, path, with_names=not told.class_names)
    without_sizes = with_sizes_told(content, (0, 0))
    _expect_detector(path, without_sizes, metadata, boxes_only=told.boxes_only)
    image = image_input(without_sizes)
    frames_contract = image.type.tensor_type.elem_type == TensorProto.UINT8
    input_wh = _input_wh(path, image, metadata, input_size, frames_contract=frames_contract)
    names = dict(enumerate(told.class_names)) or metadata.names
    if frames_contract:
        normal = normal_model(content, path, input_wh=input_wh, frames_contract=True)
        return _source_from_frames_model(path, normal, metadata, names, input_wh, model=model, sha256=sha256)
    photos = images_nchw_from_frames(frames_from_pictures(reference_picture_paths(), input_wh))
    joined = _joined(with_sizes_told(content, input_wh), path, metadata, told, input_wh, names, photos)
    normal = normal_model(joined.model, path, input_wh=input_wh, frames_contract=False)
    layout = joined.keypoints
    names = names or dict(enumerate(joined.names))
    reading, notices = read_head(
        normal,
        photos,
        Given(
            path=path,
            input_wh=input_wh,
            names=names,
            head=joined.head,
            is_told=told.head is not None,
            is_vouched=metadata.tells_stride and bool(metadata.names),
            points=POINT_WIDTH * len(layout or ()),
            family=joined.said,
            unread=joined.unread,
        ),
    )
    if not names and told.data_names and reading.classes in (None, len(told.data_names)):
        names = dict(enumerate(told.data_names))
        notices = (*notices, f"{path} names no classes; the {len(names)} names of --data are taken")
    count = reading.classes or max(names, default=UNNAMED_ROWS - 1) + 1
    return ModelSource(
        kind="onnx",
        model=model,
        weights=path.name,
        weights_sha256=sha256,
        task="pose" if layout else "detect",
        head=reading.layout.head,
        raw_dims=reading.dims,
        nms_free=reading.layout.head == "rows",
        input_wh=input_wh,
        stride=metadata.stride,
        class_names=names_of_classes(names, count),
        keypoints=layout,
        nms_iou=joined.nms_iou,
        onnx_model=reading.model,
        notices=notices,
    )


def _joined(
    content: ModelProto,
    path: Path,
    metadata: OnnxMetadata,
    told: Told,
    input_wh: tuple[int, int],
    names: Mapping[int, str],
    photos: npt.NDArray[np.float32],
) -> Joined:
    """The model with the one output that is decoded, its opset raised where nodes have to be added."""
    classes = len(names)
    raised = model_with_opset(content, str(path), lowest=MIN_OPSET, raised_to=OPSET)
    boxes_of = classes if told.boxes_only and metadata.task != "detect" else None
    pose = pose_told(metadata, str(path), asked=told.head == "pose", classes=classes) if boxes_of is None else None
    return joined_model(
        raised,
        str(path),
        told.head,
        input_wh,
        photos=photos,
        names=names or dict(enumerate(told.data_names)),
        pose=pose,
        boxes_of=boxes_of,
    )


def _source_from_frames_model(
    path: Path,
    normal: ModelProto,
    metadata: OnnxMetadata,
    names: Mapping[int, str],
    input_wh: tuple[int, int],
    *,
    model: str,
    sha256: str,
) -> ModelSource:
    """A model that already speaks the frames contract."""
    width, height = input_wh
    raw_dims = output_from_onnx(normal, np.zeros((1, height, width, 3), np.uint8)).shape[1:]
    if raw_dims != (MAX_ROWS, ROW_WIDTH):
        raise ExportError(f"{path} takes uint8 frames but returns {raw_dims}; expected ({MAX_ROWS}, {ROW_WIDTH}) rows")
    return ModelSource(
        kind="onnx",
        model=model,
        weights=path.name,
        weights_sha256=sha256,
        task="detect",
        head="rows",
        raw_dims=raw_dims,
        nms_free=True,
        input_wh=input_wh,
        stride=metadata.stride,
        class_names=names_of_classes(names, max(names, default=UNNAMED_ROWS - 1) + 1),
        frames_contract=True,
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


def _expect_detector(path: Path, model: ModelProto, metadata: OnnxMetadata, *, boxes_only: bool) -> None:
    refuse_kind(str(path), metadata.task, boxes_only=boxes_only)
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
    path: Path, image: onnx.ValueInfoProto, metadata: OnnxMetadata, wanted: int | None, *, frames_contract: bool
) -> tuple[int, int]:
    """Width and height: those fixed in the file, else --input-size, else the file's metadata, else 640."""
    dims = [item.dim_value for item in image.type.tensor_type.shape.dim]
    channels, height, width = (3, 1, 2) if frames_contract else (1, 2, 3)
    if len(dims) != 4 or dims[channels] not in (0, 3):
        expected = "[N,H,W,3]" if frames_contract else "[N,3,H,W]"
        grey = "; of pictures only 3 channels (RGB) are served" if len(dims) == 4 else ""
        raise ExportError(f"{path} takes input of shape {dims} (0: dynamic); expected {expected}{grey}")
    default = (wanted, wanted) if wanted else metadata.trained_wh
    found = (dims[width] or default[0], dims[height] or default[1])
    if wanted and found != (wanted, wanted):
        raise ExportError(
            f"{path} has a fixed input of {found[0]}x{found[1]}, --input-size asks for {wanted}; "
            "leave the flag out or export the ONNX with a dynamic size"
        )
    return found
