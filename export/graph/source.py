"""Loaded weights: what every recipe starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from photofinish.errors import ExportError
from photofinish.keypoints.layout import KeypointLayout, row_width
from photofinish.model_card import NMS_IOU, Head
from photofinish.variant import WeightsKind

if TYPE_CHECKING:
    import onnx
    import torch

DEFAULT_INPUT_SIZE = 640
"""Side of a detector's input where neither the weights nor the user say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model as its owner gave it, ready for the recipes.

    kind: "torch" has `network` (images FP32 [N,3,H,W] in 0..1 RGB → raw output, eval mode, on the CPU), and
    `make_fp16_network` (a new one of the same contract: layers in FP16, what follows them in FP32);
    "onnx" has `onnx_model` (the user's graph in its own contract, with our names and a dynamic batch).
    head: layout of the raw output. raw_dims: its shape without the batch dimension.
    sorted_rows: a rows head that already comes best first. frames_contract: the ONNX already speaks our contract.
    keypoints: what the points at the end of each row are, None without. nms_iou: what its own runtime drops boxes by.
    vocabulary: where the classes' embeddings of open-vocabulary weights came from, "" for others. left_out: what the
    weights find beside boxes and is not served, such as masks. weights_changed: as in ModelCard. notices: lines that
    the user must see.
    """

    kind: WeightsKind
    model: str
    weights: str
    weights_sha256: str
    task: Literal["detect", "pose", "classify"]
    head: Head
    raw_dims: tuple[int, ...]
    nms_free: bool
    input_wh: tuple[int, int]
    stride: int
    class_names: tuple[str, ...]
    keypoints: KeypointLayout | None = None
    nms_iou: float = NMS_IOU
    untrained: bool = False
    sorted_rows: bool = False
    frames_contract: bool = False
    network: torch.nn.Module | None = None
    make_fp16_network: Callable[[], torch.nn.Module] | None = None
    onnx_model: onnx.ModelProto | None = None
    vocabulary: str = ""
    left_out: str = ""
    notices: tuple[str, ...] = ()
    weights_changed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_width(self) -> int:
        """Columns of its rows in the frames contract."""
        return row_width(self.keypoints)

    def expect_onnx(self) -> onnx.ModelProto:
        """The user's ONNX graph; ExportError when the weights are PyTorch's."""
        if self.onnx_model is None:
            raise ExportError(f"{self.weights} holds PyTorch weights, not an ONNX graph")
        return self.onnx_model

    def expect_network(self) -> torch.nn.Module:
        """The PyTorch network; ExportError when the weights are an ONNX file."""
        if self.network is None:
            raise ExportError(f"{self.weights} is an ONNX file; this recipe needs PyTorch weights (.pt or .yaml)")
        return self.network


def class_names_from(names: Mapping[int, object] | Sequence[object], *, count: int) -> tuple[str, ...]:
    """Names of the classes 0 … count - 1 as a file tells them; `class7` where it has none for a class.

    count: what the head decodes. A file may name fewer classes, or more.
    """
    told = names if isinstance(names, Mapping) else dict(enumerate(names))
    return tuple(str(told.get(index, f"class{index}")) for index in range(count))
