"""ONNX Runtime on the CPU: run a model to compare it, and work out what is constant in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.model import STANDARD_DOMAINS
from photofinish.machine.scratch import scratch_folder

ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""What ONNX Runtime raises for a model or input it cannot use; the classes share no base but Exception."""


def output_from_onnx(
    model: onnx.ModelProto | Path,
    batch: npt.NDArray[Any],
    *,
    at_once: bool = False,
    optimise: bool = True,
    output: str = "",
) -> npt.NDArray[np.float32]:
    """The output of that name, the first one where none is told, for a batch, float32; one picture at a time unless
    `at_once`.

    optimise: False for FP8 graphs, in which ONNX Runtime's optimiser moves quantisers to operators without FP8.
    """
    options = ort.SessionOptions()
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        content = str(model) if isinstance(model, Path) else model.SerializeToString()
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        name, output = session.get_inputs()[0].name, output or session.get_outputs()[0].name
        step = len(batch) if at_once else 1
        outputs = [session.run([output], {name: batch[i : i + step]})[0] for i in range(0, len(batch), step)]
    except ORT_ERRORS as exc:
        raise ExportError(f"ONNX Runtime cannot run the model: {reason_from_error(exc)}") from exc
    return np.concatenate(outputs).astype(np.float32)


def shapes_from_onnx(model: onnx.ModelProto, batch: npt.NDArray[Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each output for a batch, in the model's order."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_outputs()]
        outputs = session.run(names, {session.get_inputs()[0].name: batch})
    except ORT_ERRORS as exc:
        raise ExportError(f"ONNX Runtime cannot run the model: {reason_from_error(exc)}") from exc
    # A sequence, as some classifiers of other tools give, has no shape.
    shapes = [
        tuple(int(side) for side in np.shape(output)) if isinstance(output, np.ndarray) else () for output in outputs
    ]
    return dict(zip(names, shapes, strict=True))


def folded_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model of standard operators in which all that is known beforehand is a constant. Shapes should be fixed."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with scratch_folder() as folder:
        path = folder / "folded.onnx"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as exc:
            raise ExportError(f"ONNX Runtime cannot load the model: {reason_from_error(exc)}") from exc
        folded = onnx.load(path)
    if foreign := {node.op_type for node in folded.graph.node if node.domain not in STANDARD_DOMAINS}:
        raise ExportError(f"ONNX Runtime put its own operators {sorted(foreign)} into the model")
    kept = [item for item in folded.opset_import if item.domain in STANDARD_DOMAINS]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    folded.ir_version = model.ir_version
    return folded
