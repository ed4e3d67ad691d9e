"""What a built engine says about its own layers, where a GPU can load it."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from photofinish.export.tensorrt.library import TensorRTLibrary
from photofinish.export.tensorrt.network import EngineRefusedError

_FORMATS = (
    ("int8", re.compile(r"(?<!u)int8", re.IGNORECASE)),  # UINT8 is the camera's picture on its way in
    ("fp8", re.compile(r"fp8|float8|e4m3", re.IGNORECASE)),
    ("bf16", re.compile(r"bf16|bfloat16", re.IGNORECASE)),
    ("fp16", re.compile(r"fp16|half|float16", re.IGNORECASE)),
    ("fp32", re.compile(r"fp32|float", re.IGNORECASE)),
)
"""How the inspector writes a tensor's type, e.g. "Row major linear FP16 format" or "Half"; the first match counts."""


def check_engine_precision(library: TensorRTLibrary, engine: bytes, wanted: str, trt_logger: Any) -> str:
    """One line on the precisions of the engine's layers.

    Raises EngineRefusedError when this GPU cannot load the engine, or when none of its layers computes in `wanted`:
    then the build fell back and the network's types were not kept.
    """
    counts = precisions_from_inspection(_inspection(library, engine, trt_logger))
    text = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "types not shown"
    if counts and not counts[wanted]:
        raise EngineRefusedError(
            f"the engine was asked for as {wanted} and none of its layers is ({text}); "
            f"{library.name} {library.version} did not keep the graph's types: report this with the ONNX file"
        )
    return f"the built engine's layer outputs: {text}"


def precisions_from_inspection(text: str) -> Counter[str]:
    """Number of layer outputs per precision, from the inspector's JSON. Outputs of other types are not counted."""
    counts: Counter[str] = Counter()
    for layer in json.loads(text).get("Layers", []):
        if not isinstance(layer, dict):  # names only: the engine was built without details
            continue
        for output in layer.get("Outputs", []):
            described = str(output.get("Format/Datatype") or output.get("Datatype") or output.get("Format") or "")
            name = next((name for name, pattern in _FORMATS if pattern.search(described)), None)
            if name:
                counts[name] += 1
    return counts


def _inspection(library: TensorRTLibrary, engine: bytes, trt_logger: Any) -> str:
    trt = library.module
    try:
        runtime = trt.Runtime(trt_logger)
        loaded = runtime.deserialize_cuda_engine(engine)
    except TypeError:  # pybind11's way to say that the constructor returned nothing
        loaded = None
    if loaded is None:
        raise EngineRefusedError(
            f"{library.name} {library.version} built an engine that it cannot load on this GPU: "
            f"{trt_logger.last_error or 'it gave no reason'}; the driver may be too old for it (`photofinish doctor`)"
        )
    return str(loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
