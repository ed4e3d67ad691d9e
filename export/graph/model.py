"""What is asked of any ONNX graph: its picture input, its opset, and a name for each of its nodes."""

from __future__ import annotations

import onnx
from onnx import ModelProto, version_converter

from photofinish.errors import ExportError, reason_from_error

OPSET = 17
"""What networks are exported in, and older files raised to."""
STANDARD_DOMAINS = ("", "ai.onnx")
"""The two spellings of the domain that ONNX's own operators are in."""


def copied_model(model: ModelProto) -> ModelProto:
    """A copy that may be changed."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def image_input(model: ModelProto) -> onnx.ValueInfoProto:
    """The model's one input that is not a constant. ExportError when there are more, or none."""
    constants = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    pictures = [item.name for item in inputs if len(item.type.tensor_type.shape.dim) == 4]
    if len(pictures) > 1:
        raise ExportError(
            f"the ONNX model takes {len(pictures)} pictures ({', '.join(pictures)}); Photofinish serves models of one "
            "picture: export the part that takes one"
        )
    if len(inputs) != 1:
        raise ExportError(
            f"the ONNX model has {len(inputs)} inputs ({', '.join(item.name for item in inputs)}); expected one, images"
        )
    return inputs[0]


def opset_version(model: ModelProto) -> int:
    """The opset of the standard operators; 0 when the model imports none."""
    return next((item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS), 0)


def model_with_opset(model: ModelProto, what: str, *, lowest: int, raised_to: int | None = None) -> ModelProto:
    """The model itself where its opset is `lowest` or newer, else a copy raised to `raised_to` (or `lowest`).

    what: the model's name in the ExportError of a graph that cannot be raised.
    """
    found, wanted = opset_version(model), raised_to or lowest
    if found >= lowest:
        return model
    try:
        raised: ModelProto = version_converter.convert_version(model, wanted)
    except (RuntimeError, ValueError, version_converter.ConvertError) as exc:
        raise ExportError(
            f"{what} has opset {found}, and cannot be raised to {wanted} ({reason_from_error(exc)}); "
            f"export it again with opset {wanted}"
        ) from exc
    return raised


def model_with_node_names(model: ModelProto) -> ModelProto:
    """A copy in which every node has a name of its own; names that were alone stay as they are."""
    named = copied_model(model)
    given = {node.name for node in named.graph.node}
    taken: set[str] = set()
    for index, node in enumerate(named.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}"
            while node.name in given or node.name in taken:  # such a name may be another node's
                node.name += "_"
        taken.add(node.name)
    return named
