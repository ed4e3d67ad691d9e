"""Ways to wreck a detector: each takes the FP32 ONNX in the frames contract and gives a broken one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from photofinish.export.int8.graph import layer_inputs, quantised_from_limits
from photofinish.export.int8.ranges import RangeCollector


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def with_swapped_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The first convolution reads BGR."""
    made = copy_of(model)
    first = next(node for node in made.graph.node if node.op_type == "Conv")
    _change(made, first.input[1], lambda weights: weights[:, ::-1])
    return made


def with_zeroed_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """All weights and biases of the layers that no other layer follows are 0."""
    made = copy_of(model)
    for node in _last_layers(made):
        for name in node.input[1:]:
            _change(made, name, np.zeros_like)
    return made


def with_double_division(model: onnx.ModelProto) -> onnx.ModelProto:
    """The picture is divided by 255 twice."""
    made = copy_of(model)
    scale = next(item for item in made.graph.initializer if _is_255(item))
    _change(made, scale.name, lambda value: value * 255)
    return made


def with_imagenet_normalisation(model: onnx.ModelProto) -> onnx.ModelProto:
    """The picture is also normalised with ImageNet's mean and deviation."""
    made = copy_of(model)
    first = next(node for node in made.graph.node if node.op_type == "Conv")
    position = list(made.graph.node).index(first)
    for name, values in (("mean", (0.485, 0.456, 0.406)), ("deviation", (0.229, 0.224, 0.225))):
        array = np.array(values, np.float32).reshape(1, 3, 1, 1)
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    made.graph.node.insert(position, helper.make_node("Sub", [first.input[0], "mean"], ["centred"], name="wreck_sub"))
    made.graph.node.insert(
        position + 1, helper.make_node("Div", ["centred", "deviation"], ["scaled"], name="wreck_div")
    )
    made.graph.node[position + 2].input[0] = "scaled"
    return made


def with_int8_from_noise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every layer in INT8, calibrated on the noise of a covered lens."""
    collector = RangeCollector(model, layer_inputs(model))
    shape = [item.dim_value for item in model.graph.input[0].type.tensor_type.shape.dim][1:]
    for seed in range(3):
        collector.add(np.random.default_rng(seed).integers(0, 12, shape, dtype=np.uint8))
    return quantised_from_limits(model, collector.limits(99.9))


WRECKS: Mapping[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "swapped": with_swapped_channels,
    "zeroed": with_zeroed_head,
    "divided": with_double_division,
    "imagenet": with_imagenet_normalisation,
    "noise": with_int8_from_noise,
}


def _change(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    item = next(item for item in model.graph.initializer if item.name == name)
    changed = np.ascontiguousarray(change(numpy_helper.to_array(item)))
    item.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), name))


def _is_255(item: onnx.TensorProto) -> bool:
    array = numpy_helper.to_array(item)
    return array.size == 1 and array.dtype == np.float32 and float(array.reshape(-1)[0]) == 255.0


def _last_layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Convolutions from whose output no other convolution can be reached."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def leads_on(node: onnx.NodeProto) -> bool:
        seen: set[str] = set()
        waiting = list(node.output)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for reader in readers.get(name, []):
                if reader.op_type == "Conv":
                    return True
                waiting.extend(reader.output)
        return False

    return [node for node in model.graph.node if node.op_type == "Conv" and not leads_on(node)]
