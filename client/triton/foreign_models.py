"""A model card for a served model that Photofinish did not export, concluded from its tensors."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from photofinish.client.triton.tensors import TensorInfo
from photofinish.errors import ModelRepositoryError
from photofinish.keypoints.layout import POINT_WIDTH, KeypointLayout, layout_of_count
from photofinish.model_card import ModelCard

DEFAULT_INPUT_SIDE = 640


def card_from_tensors(
    name: str,
    inputs: tuple[TensorInfo, ...],
    outputs: tuple[TensorInfo, ...],
    *,
    backend: str = "",
    parameters: Mapping[str, str] | None = None,
) -> ModelCard:
    """A card for a detector with one picture in and one detection tensor out, such as a plain Ultralytics export.

    Class names, size and keypoints come from Ultralytics' `metadata` parameter where there is one; without it the
    keypoints of a pose model cannot be told from classes.
    Raises ModelRepositoryError naming the tensor that does not fit.
    """
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelRepositoryError(
            f"it has no Photofinish metadata and {len(inputs)} inputs and {len(outputs)} outputs; "
            "one picture in and one detection tensor out can be used without"
        )
    metadata = _ultralytics_metadata((parameters or {}).get("metadata", ""))
    contract, input_wh = _contract_and_size(inputs[0], metadata)
    layout = _layout(metadata.get("kpt_shape"))
    class_count, head = _head(outputs[0], POINT_WIDTH * len(layout or ()))
    names = metadata.get("names")
    if isinstance(names, dict):
        class_names = tuple(str(names[key]) for key in sorted(names))
    else:
        class_names = tuple(f"class {index}" for index in range(class_count))
    return ModelCard(
        variant=name,
        model=name,
        backend=backend or "unknown",
        precision=inputs[0].datatype.lower() if inputs[0].datatype != "UINT8" else "unknown",
        contract=contract,
        role="baseline" if contract == "tensor" else "optimised",
        head=head,
        nms="none" if head == "rows" else "client",
        input_wh=input_wh,
        class_names=class_names,
        weights="unknown",
        weights_sha256="",
        task="pose" if layout else "detect",
        keypoint_names=layout.names if layout else (),
        keypoint_skeleton=layout.skeleton if layout else (),
    )


def _layout(shape: object) -> KeypointLayout | None:
    """What points Ultralytics' `kpt_shape` tells of; None for what is none, and for points without visibility."""
    told = list(shape) if isinstance(shape, (list, tuple)) else []
    if len(told) == 2 and all(isinstance(item, int) for item in told) and told[0] > 0 and told[1] == POINT_WIDTH:
        return layout_of_count(told[0])
    return None


def _ultralytics_metadata(text: str) -> dict[str, Any]:
    """Ultralytics writes its metadata as a Python literal."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _contract_and_size(tensor: TensorInfo, metadata: Mapping[str, Any]) -> tuple[str, tuple[int, int]]:
    dims = tensor.dims
    if tensor.datatype in ("FP32", "FP16") and len(dims) == 3 and dims[0] == 3:
        contract, height, width = "tensor", dims[1], dims[2]
    elif tensor.datatype == "UINT8" and len(dims) == 3 and dims[2] == 3:
        contract, height, width = "frames", dims[0], dims[1]
    else:
        raise ModelRepositoryError(
            f"it has no Photofinish metadata and its input {tensor.name} is {tensor.datatype} {list(dims)}; "
            "FP32 [3,H,W] or UINT8 [H,W,3] can be used without"
        )
    size = metadata.get("imgsz")
    open_h, open_w = size if isinstance(size, list) and len(size) == 2 else (DEFAULT_INPUT_SIDE, DEFAULT_INPUT_SIDE)
    return contract, (width if width > 0 else int(open_w), height if height > 0 else int(open_h))


def _head(tensor: TensorInfo, points: int) -> tuple[int, str]:
    """Number of classes the output tells (0 when it does not), and its head. points: its columns of keypoints."""
    dims = tensor.dims
    if tensor.datatype in ("FP32", "FP16") and len(dims) == 2:
        rows, columns = dims
        if columns == 6 + points:
            return 0, "rows"
        if rows > 4 + points and (columns < 0 or columns > rows):
            return rows - 4 - points, "yolo_raw"
        if not points and columns > 5 and (rows < 0 or rows > columns):
            return columns - 5, "yolo_raw_objectness"
    raise ModelRepositoryError(
        f"it has no Photofinish metadata and its output {tensor.name} is {tensor.datatype} {list(dims)}; "
        "FP32 [n,6], [4+classes,anchors] or [anchors,5+classes] can be used without"
    )
