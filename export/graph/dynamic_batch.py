"""An ONNX graph with one image input made dynamic in its first dimension, also where it was exported for batch 1."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from photofinish.detections import ROW_WIDTH
from photofinish.errors import ExportError
from photofinish.export.graph.model import copied_model, image_input
from photofinish.export.graph.session import folded_model, output_from_onnx

BATCH = "batch"
MAX_DIFFERENCE = 1e-2
"""Between a picture alone and in a batch, in the raw output's own units."""
MAX_CHOSEN_ROWS = 1000
"""A head with more rows gives all of its anchors, in their order."""
MIN_SAME_ROWS = 0.9
"""Share of the chosen rows of a random picture that must be there again; none is where pictures are mixed up."""


def model_with_dynamic_batch(
    model: ModelProto, what: str, *, input_dims: tuple[int, ...], names: tuple[str, str]
) -> ModelProto:
    """A new model with input `names[0]` [batch, *input_dims] and one output `names[1]`, run to prove the batch.

    Only the first output is kept. All shapes but the batch are worked out beforehand where the graph allows it: what
    computes shapes at run time stays on the CPU, and a CUDA graph cannot hold it. ExportError when the graph does
    not treat pictures alike.
    """
    given = _normal_model(model, input_dims, names)
    fixed_batch = _dims(given.graph.input[0])[0]
    reference = _Reference(given, input_dims)
    try:
        return reference.proved(_freed_model(folded_model(_with_batch(given, fixed_batch or 1))), what)
    except ExportError:
        if fixed_batch:
            raise
        return reference.proved(given, what)


class _Reference:
    """Two random pictures, and what the model that was given makes of each alone."""

    def __init__(self, model: ModelProto, input_dims: tuple[int, ...]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, *input_dims)).astype(np.uint8)
        is_uint8 = model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
        self._batch = pixels if is_uint8 else pixels.astype(np.float32) / 255
        step = _dims(model.graph.input[0])[0] or 1
        repeated = [np.repeat(picture[None], step, axis=0) for picture in self._batch]
        self._alone = np.concatenate([output_from_onnx(model, batch, at_once=True)[:1] for batch in repeated])

    def proved(self, model: ModelProto, what: str) -> ModelProto:
        """The model with a dynamic batch in its signature; ExportError unless it gives each picture the same output."""
        dynamic = _with_batch(model, None)
        remedy = "export it again with a dynamic batch (Ultralytics: dynamic=True)"
        try:
            together = output_from_onnx(dynamic, self._batch, at_once=True)
        except ExportError as exc:
            raise ExportError(f"{what} cannot run more than one picture at a time ({exc}); {remedy}") from exc
        if together.shape != self._alone.shape or not all(map(_are_alike, together, self._alone)):
            raise ExportError(f"{what} gives pictures in a batch other results than one by one; {remedy}")
        output = dynamic.graph.output[0]
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [BATCH, *together.shape[1:]]))
        return dynamic


def _are_alike(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> bool:
    """Whether two outputs of one picture are the same but for rounding.

    A head that chooses its best rows may order them anew, and at the end of a random picture's list choose others.
    Such rows are more than their columns; a raw head of channels by cells has fewer channels than cells.
    """
    close = partial(np.isclose, rtol=1e-3, atol=MAX_DIFFERENCE, equal_nan=True)
    if np.all(close(found, expected)):
        return True
    if expected.ndim != 2 or not ROW_WIDTH <= expected.shape[1] < len(expected) <= MAX_CHOSEN_ROWS:
        return bool(np.all(close(np.sort(found, axis=None), np.sort(expected, axis=None))))
    partners = [bool(np.all(close(found, row), axis=1).any()) for row in expected]
    return float(np.mean(partners)) >= MIN_SAME_ROWS


def _normal_model(model: ModelProto, input_dims: tuple[int, ...], names: tuple[str, str]) -> ModelProto:
    """A copy with our names, one output, fixed picture dims and constants as initializers; its batch is as it was."""
    normal = copied_model(model)
    graph = normal.graph
    _constants_to_initializers(graph)
    image = image_input(normal)
    batch = _dims(image)[0] or BATCH
    input_type = image.type.tensor_type.elem_type
    _keep_first_output(graph)
    _rename(graph, {image.name: names[0], graph.output[0].name: names[1]})
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(names[0], input_type, [batch, *input_dims]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(names[1], TensorProto.FLOAT, None))
    del graph.value_info[:]
    return normal


def _with_batch(model: ModelProto, batch: int | None) -> ModelProto:
    """A copy whose input has this batch, dynamic when None, and no shapes recorded elsewhere."""
    changed = copied_model(model)
    image = changed.graph.input[0]
    dims = [batch or BATCH, *_dims(image)[1:]]
    image.CopyFrom(helper.make_tensor_value_info(image.name, image.type.tensor_type.elem_type, dims))
    output = changed.graph.output[0]
    output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))
    del changed.graph.value_info[:]
    return changed


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    """Its dims, 0 for a dynamic one."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _freed_model(model: ModelProto) -> ModelProto:
    """A copy of a model with fixed shapes whose reshapes infer their first dimension."""
    freed = onnx.shape_inference.infer_shapes(model)
    graph = freed.graph
    shapes = {item.name: _dims(item) for item in [*graph.value_info, *graph.output]}
    constants = {item.name for item in graph.initializer}
    for number, node in enumerate(graph.node):
        shape = shapes.get(node.output[0], [])
        if node.op_type == "Reshape" and node.input[1] in constants and shape and all(shape):
            name = f"{node.input[1]}_any_batch_{number}"
            graph.initializer.append(numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), name))
            node.input[1] = name
    return freed


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    kept = []
    for node in graph.node:
        value = next((item.t for item in node.attribute if item.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            constant = TensorProto()
            constant.CopyFrom(value)
            constant.name = node.output[0]
            graph.initializer.append(constant)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _keep_first_output(graph: onnx.GraphProto) -> None:
    """Drop all outputs but the first, and the nodes that only they needed."""
    del graph.output[1:]
    needed = {graph.output[0].name}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(name for item in node.attribute for name in _outer_names(item))
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _outer_names(attribute: onnx.AttributeProto) -> set[str]:
    """Every value name that a node's subgraph mentions."""
    graphs = [attribute.g, *attribute.graphs] if attribute.HasField("g") else list(attribute.graphs)
    return {name for graph in graphs for node in graph.node for name in node.input}


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values; a value that already has one of the new names steps aside."""
    swapped = {new: f"{new}_inner" for old, new in names.items() if old != new} | names
    for node in graph.node:
        for values in (node.input, node.output):
            for index, name in enumerate(values):
                values[index] = swapped.get(name, name)
    for constant in graph.initializer:
        constant.name = swapped.get(constant.name, constant.name)
