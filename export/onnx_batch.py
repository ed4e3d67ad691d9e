"""An ONNX graph with one image input made dynamic in its first dimension, also where it was exported for batch 1."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.onnx_session import output_from_onnx
from photofinish.errors import ExportError

BATCH = "batch"
MAX_DIFFERENCE = 1e-2
"""Between a picture alone and in a batch, in the raw output's own units."""


def model_with_dynamic_batch(
    model: ModelProto, what: str, *, input_dims: tuple[int, ...], names: tuple[str, str]
) -> ModelProto:
    """A new model with input `names[0]` [batch, *input_dims] and one output `names[1]`, run to prove the batch.

    Only the first output is kept. A batch that was fixed is freed where it stands in reshapes; ExportError when the
    graph still does not treat pictures alike.
    """
    freed = ModelProto()
    freed.CopyFrom(model)
    graph = freed.graph
    _constants_to_initializers(graph)
    constants = {item.name for item in graph.initializer}
    image = next(item for item in graph.input if item.name not in constants)
    fixed_batch = image.type.tensor_type.shape.dim[0].dim_value
    if fixed_batch:
        _free_reshapes(graph, fixed_batch)
    _keep_first_output(graph)
    _rename(graph, {image.name: names[0], graph.output[0].name: names[1]})
    input_type = image.type.tensor_type.elem_type
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(names[0], input_type, [BATCH, *input_dims]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(names[1], TensorProto.FLOAT, None))
    del graph.value_info[:]
    raw_dims = _proved_output_dims(freed, what, input_dims, input_type)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [BATCH, *raw_dims]))
    return freed


def _proved_output_dims(model: ModelProto, what: str, input_dims: tuple[int, ...], input_type: int) -> tuple[int, ...]:
    """The output's dims without the batch; ExportError unless two pictures give what each gives alone."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, *input_dims)).astype(np.uint8)
    batch = pixels if input_type == TensorProto.UINT8 else pixels.astype(np.float32) / 255
    remedy = "export it again with a dynamic batch (Ultralytics: dynamic=True)"
    alone = output_from_onnx(model, batch)
    try:
        together = output_from_onnx(model, batch, at_once=True)
    except ExportError as exc:
        raise ExportError(f"{what} cannot run more than one picture at a time ({exc}); {remedy}") from exc
    # Rows with equal confidence may swap places, so values are compared in order of size.
    if together.shape != alone.shape or not np.allclose(
        np.sort(together.reshape(2, -1)), np.sort(alone.reshape(2, -1)), rtol=1e-3, atol=MAX_DIFFERENCE
    ):
        raise ExportError(f"{what} gives pictures in a batch other results than one by one; {remedy}")
    return tuple(int(side) for side in together.shape[1:])


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


def _free_reshapes(graph: onnx.GraphProto, batch: int) -> None:
    """Let a Reshape to [batch, ...] infer its first dimension (-1), or copy its input's (0) where another is -1."""
    constants = {item.name: item for item in graph.initializer}
    for number, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if shape.ndim != 1 or len(shape) < 2 or shape[0] != batch:
            continue
        shape[0] = 0 if -1 in shape[1:] else -1
        name = f"{node.input[1]}_any_batch_{number}"
        graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name


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
