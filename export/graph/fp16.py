"""FP16 on an ONNX graph: the layers with weights in FP16, everything after them in FP32."""

from __future__ import annotations

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from photofinish.export.graph.model import copied_model, model_with_node_names

WEIGHTED_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_AFTER = "fp32_"
"""Prefix of the constants that belong to the FP32 part."""


def fp16_model_from_fp32(model: ModelProto) -> ModelProto:
    """A new model whose network computes in FP16; inputs, outputs and box maths keep their types.

    Whatever no layer with weights follows stays in FP32: decoding, top-k, the rows. Boxes need more than FP16's
    11 bits, which at 640 pixels are a grid of half a pixel. The graph is cut there and only the first part is
    converted: the converter's own block list would round each value between two blocked nodes to FP16.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    named = model_with_node_names(inferred)
    before = before_last_layers(named)
    head = [node for node in named.graph.node if node.name in before]
    tail = [node for node in named.graph.node if node.name not in before]
    network = _network_model(named, head, tail)
    converted: ModelProto = convert_float_to_float16(network, keep_io_types=True)
    joined = copied_model(converted)
    constants = _add_tail(joined.graph, named, tail)
    joined.graph.initializer.extend(constants)
    del joined.graph.output[:]
    joined.graph.output.extend(model.graph.output)
    del joined.graph.value_info[:]
    result = model_with_node_names(joined)
    _sort_nodes(result.graph)
    onnx.checker.check_model(result)
    return result


def before_last_layers(model: ModelProto) -> set[str]:
    """Names of the nodes that are, or come before, a layer with weights."""
    constants = _learned_tensors(model)
    producers = {output: node for node in model.graph.node for output in node.output}
    found: set[str] = set()
    waiting = [node for node in model.graph.node if _is_layer(node, constants)]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting.extend(producers[name] for name in node.input if name in producers)
    return found


def _learned_tensors(model: ModelProto) -> dict[str, TensorProto]:
    """Constants by name; quantised ones under the name of their dequantised value too."""
    constants = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _is_layer(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    """Whether the node multiplies by learned weights.

    A convolution to one channel is YOLO's distribution decoding, which is box maths, not a layer.
    """
    if node.op_type not in WEIGHTED_OPS or len(node.input) < 2 or node.input[1] not in constants:
        return False
    return not (node.op_type == "Conv" and constants[node.input[1]].dims[0] == 1)


def _network_model(model: ModelProto, head: list[NodeProto], tail: list[NodeProto]) -> ModelProto:
    """The first part of the model alone; its outputs are what the tail or the graph's outputs take from it."""
    graph = model.graph
    made = [output for node in head for output in node.output]
    wanted = {name for node in tail for name in node.input} | {item.name for item in graph.output}
    types = {item.name: item for item in [*graph.value_info, *graph.output]}
    outputs = [
        types.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in made
        if name in wanted
    ]
    used = {name for node in head for name in node.input}
    constants = [item for item in graph.initializer if item.name in used]
    part = helper.make_graph(head, graph.name, list(graph.input), outputs, constants)
    part.value_info.extend(item for item in graph.value_info if item.name in set(made) - wanted)
    network = helper.make_model(part, opset_imports=list(model.opset_import))
    network.ir_version = model.ir_version
    network.metadata_props.extend(model.metadata_props)
    return network


def _add_tail(graph: GraphProto, model: ModelProto, tail: list[NodeProto]) -> list[TensorProto]:
    """Append the FP32 part to the converted graph; its constants, under names of their own."""
    constants = {item.name: item for item in model.graph.initializer}
    copies: dict[str, TensorProto] = {}
    for node in tail:
        for index, name in enumerate(node.input):
            if name in constants:
                copy = TensorProto()
                copy.CopyFrom(constants[name])
                copy.name = _AFTER + name
                copies[name] = copy
                node.input[index] = copy.name
    graph.node.extend(tail)
    return list(copies.values())


def _sort_nodes(graph: GraphProto) -> None:
    """Put the nodes into an order in which every value is made before it is used."""
    known = {item.name for item in [*graph.input, *graph.initializer]} | {""}
    waiting: list[NodeProto] = list(graph.node)
    ordered: list[NodeProto] = []
    while waiting:
        ready = [node for node in waiting if known.issuperset(node.input)]
        if not ready:
            break
        ready_names = {node.name for node in ready}
        ordered.extend(ready)
        known.update(output for node in ready for output in node.output)
        waiting = [node for node in waiting if node.name not in ready_names]
    copies = [*ordered, *waiting]
    del graph.node[:]
    graph.node.extend(copies)
