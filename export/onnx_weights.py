"""A user's own ONNX file to a ModelSource."""

from __future__ import annotations

import onnx

from export.source import ModelSource
from photofinish.errors import ExportError


def tensor_model_from_source(source: ModelSource) -> onnx.ModelProto:
    """placeholder"""
    raise ExportError("not yet")
