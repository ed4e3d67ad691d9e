"""An ONNX graph with several outputs, as one with a single output that the recipes decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, helper, numpy_helper

from photofinish.export.graph.dynamic_batch import BATCH
from photofinish.export.graph.model import copied_model
from photofinish.keypoints.layout import columns_with_visibility

JOINED = "joined"
"""The name of the one output."""
_PREFIX = "joining_"


class Joining:
    """A copy of a model, and nodes behind its outputs."""

    def __init__(self, model: ModelProto) -> None:
        self.model = copied_model(model)
        del self.model.graph.value_info[:]

    def constant(self, name: str, value: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """A named initializer; returns its name."""
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), _PREFIX + name))
        return _PREFIX + name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """One node with one output; returns the output's name."""
        name = _PREFIX + output
        self.model.graph.node.append(
            helper.make_node(operator, list(inputs), [name], name=f"{name}_node", **attributes)
        )
        return name

    def columns(self, value: str, begin: int, end: int, name: str) -> str:
        """Columns begin … end - 1 of a value (N, rows, columns)."""
        limits = [self.constant(f"{name}_{what}", [at], np.int64) for what, at in (("begin", begin), ("end", end))]
        return self.add("Slice", [value, *limits, self.constant(f"{name}_axis", [2], np.int64)], name)

    def visible_points(self, parts: Sequence[str], first: int, count: int) -> str:
        """The parts (N, rows, …) side by side, the last of them `count` points x, y from column `first` on, each with
        a visibility of 1 behind it.
        """
        one_column = self.columns(parts[0], 0, 1, "any")
        nothing = self.add("Mul", [one_column, self.constant("zero", 0)], "nothing")
        ones = self.add("Add", [nothing, self.constant("one", 1)], "ones")
        table = self.add("Concat", [*parts, ones], "table", axis=2)
        order = self.constant("order", columns_with_visibility(first, count), np.int64)
        return self.add("Gather", [table, order], "with_visibility", axis=2)

    def finished(self, value: str, dims: Sequence[int], *, turned: bool = False) -> ModelProto:
        """The model with `value` (N, rows, columns) as its only output. turned: as (N, columns, rows).

        dims: of the output, without the batch.
        """
        graph = self.model.graph
        if turned:
            value = self.add("Transpose", [value], "turned", perm=[0, 2, 1])
        graph.node.append(helper.make_node("Identity", [value], [JOINED], name=f"{JOINED}_node"))
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info(JOINED, onnx.TensorProto.FLOAT, [BATCH, *dims]))
        onnx.checker.check_model(self.model)
        return self.model
