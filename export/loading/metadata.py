"""An ONNX file's metadata: text that anybody may have written, and what of it is believed."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from photofinish.export.graph.source import DEFAULT_INPUT_SIZE
from photofinish.export.loading.class_names import names_by_number

DEFAULT_STRIDE = 32
MAX_SIDE = 16_384
"""What metadata is believed: more is no detector's, and would be reserved in memory."""
MAX_TASK = 80
"""Characters of a task that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxMetadata:
    """What an ONNX file tells about its model.

    names: by class number, {} where it tells none. trained_wh: width and height. tells_stride: it has a usable stride,
    which only the exporters of YOLOs write. keypoint_shape, keypoint_names: of a pose model, as they stand, None where
    it tells none.
    """

    task: str
    names: Mapping[int, str]
    stride: int
    tells_stride: bool
    trained_wh: tuple[int, int]
    keypoint_shape: object = None
    keypoint_names: object = None


def metadata_from_model(model: ModelProto, path: Path, *, with_names: bool = True) -> OnnxMetadata:
    """The metadata that can be used; defaults for the rest. ExportError for names whose keys are no class numbers.

    with_names: False leaves the names unread, where the user gives others.
    """
    values = {item.key: _value(item.value) for item in model.metadata_props}
    stride = _stride(values.get("stride"))
    return OnnxMetadata(
        task=" ".join(str(values.get("task") or "detect").split())[:MAX_TASK],
        names=names_by_number(values.get("names"), f"{path} in its metadata") if with_names else {},
        stride=stride or DEFAULT_STRIDE,
        tells_stride=bool(stride),
        trained_wh=_trained_wh(values.get("imgsz")),
        keypoint_shape=values.get("kpt_shape"),
        keypoint_names=values.get("kpt_names"),
    )


def _value(text: str) -> Any:
    """What the text says as a Python literal or as JSON, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _stride(told: Any) -> int:
    """The largest stride that is told, as a number or a list of them; 0 where it is not usable."""
    strides = told if isinstance(told, (list, tuple)) and told else [told]
    if all(isinstance(item, (int, float)) and 1 <= item <= MAX_SIDE for item in strides):
        return int(max(strides))
    return 0


def _trained_wh(told: Any) -> tuple[int, int]:
    """Width and height that the metadata tells as `imgsz` (height first), 640 × 640 where it tells nothing usable."""
    sides: list[Any] = list(told) if isinstance(told, (list, tuple)) else [told, told]
    if len(sides) == 1:
        sides *= 2
    if len(sides) == 2 and all(isinstance(side, int) and 0 < side <= MAX_SIDE for side in sides):
        return int(sides[1]), int(sides[0])
    return DEFAULT_INPUT_SIZE, DEFAULT_INPUT_SIZE
