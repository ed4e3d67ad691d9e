"""Ultralytics weights to a ModelSource: .pt, or .yaml for an untrained model. Only this module imports ultralytics."""

from __future__ import annotations

import copy
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from photofinish.detections import MAX_ROWS
from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.source import DEFAULT_INPUT_SIZE, ModelSource, class_names_from
from photofinish.variant import SQUARE, input_wh_from_aspect
from photofinish.wheels import user_cache_dir

# Before the import: no network at start, no package installed behind the user's back, no settings file in the
# user's configuration folder, nothing printed to stdout.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", str(user_cache_dir() / "ultralytics"))

from ultralytics.nn.modules import Detect
from ultralytics.nn.modules.head import v10Detect
from ultralytics.nn.tasks import DetectionModel, load_checkpoint, yaml_model_load
from ultralytics.utils.tal import dist2bbox

TASK_WORDS: Mapping[str, str] = {
    "segment": "a segmentation",
    "pose": "a pose",
    "classify": "a classification",
    "obb": "an oriented-box",
}
_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
    EOFError,
    OSError,
)
"""What torch and Ultralytics raise for a file that is not one of their checkpoints."""


class _OutputOnly(torch.nn.Module):
    """The network as a function of images alone, returning its prediction tensor."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        prediction: torch.Tensor = self.network(images)
        return prediction


class _HalfDetector(torch.nn.Module):
    """The same function with the layers in FP16; boxes are decoded in FP32, since FP16 is a grid of half a pixel."""

    anchors: torch.Tensor
    strides: torch.Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        head = network.model[-1]
        self.register_buffer("anchors", head.anchors.detach().float().clone())
        self.register_buffer("strides", head.strides.detach().float().clone())
        self.distribution = copy.deepcopy(head.dfl).float()
        self.network = network.half()
        # Without its export flag the head returns what lies before the decoding too.
        self.head = head
        self.head.export = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        _, found = self.network(images.half())
        found = found["one2one"] if self.head.end2end else found
        distances = self.distribution(found["boxes"].float())
        boxes = dist2bbox(distances, self.anchors.unsqueeze(0), xywh=not self.head.end2end, dim=1) * self.strides
        raw = torch.cat((boxes, found["scores"].float().sigmoid()), dim=1)
        rows: torch.Tensor = self.head.postprocess(raw.permute(0, 2, 1)) if self.head.end2end else raw
        return rows


def source_from_pt(path: Path, *, model: str, sha256: str, input_size: int | None, aspect: str = SQUARE) -> ModelSource:
    """A trained detector from an Ultralytics checkpoint. aspect: of its input, see Variant."""
    try:
        network, _ = load_checkpoint(str(path))
    except _UNREADABLE as exc:
        raise ExportError(
            f"{path} is not an Ultralytics model ({reason_from_error(exc, limit=160)}); "
            "pass a .pt that Ultralytics trained, an .onnx file, or a .yaml for an untrained model"
        ) from exc
    return _source_from_network(
        network, path.name, model=model, sha256=sha256, input_size=input_size, aspect=aspect, untrained=False
    )


def source_from_yaml(
    weights: str, *, model: str, sha256: str, input_size: int | None, aspect: str = SQUARE
) -> ModelSource:
    """An untrained detector with seeded random weights from a model description, e.g. `yolo26n.yaml`."""
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    try:
        network = DetectionModel(yaml_model_load(weights), verbose=False)
    except _UNREADABLE as exc:
        raise ExportError(
            f"{weights} is not a detector's description ({reason_from_error(exc)}); "
            "name one that Ultralytics ships, e.g. yolo26n.yaml"
        ) from exc
    finally:
        torch.random.set_rng_state(generator_state)
    network.task = "detect"
    return _source_from_network(
        network, Path(weights).name, model=model, sha256=sha256, input_size=input_size, aspect=aspect, untrained=True
    )


def _source_from_network(
    network: Any, weights: str, *, model: str, sha256: str, input_size: int | None, aspect: str, untrained: bool
) -> ModelSource:
    task = getattr(network, "task", "detect")
    if task != "detect":
        raise ExportError(
            f"{weights} is {TASK_WORDS.get(task, f'a {task}')} model; Photofinish serves detectors, "
            "so pass detection weights such as yolo26n.pt"
        )
    head = network.model[-1]
    if type(head) not in (Detect, v10Detect):
        raise ExportError(
            f"{weights} has a {type(head).__name__} head; supported are Ultralytics' Detect heads "
            "(YOLOv5u, v8, v9, v10, 11, 12, 26)"
        )
    network = copy.deepcopy(network).float().eval()
    head = network.model[-1]
    nms_free = getattr(head, "one2one_cv2", None) is not None
    if nms_free:
        network.end2end = True
    network = network.fuse(verbose=False)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    head.export = True
    head.format = "torchscript"
    head.max_det = MAX_ROWS
    stride = int(network.stride.max())
    size = _checked_size(input_size or _trained_size(network) or DEFAULT_INPUT_SIZE, stride, weights)
    width, height = input_wh_from_aspect(size, aspect, stride=stride)
    with torch.no_grad():
        raw = network(torch.zeros(1, 3, height, width))
    return ModelSource(
        kind="torch",
        model=model,
        weights=weights,
        weights_sha256=sha256,
        task="detect",
        head="rows" if nms_free else "yolo_raw",
        raw_dims=tuple(int(side) for side in raw.shape[1:]),
        nms_free=nms_free,
        input_wh=(width, height),
        stride=stride,
        class_names=class_names_from(network.names, count=int(head.nc)),
        untrained=untrained,
        sorted_rows=nms_free,
        network=_OutputOnly(network).eval(),
        make_fp16_network=lambda: _HalfDetector(copy.deepcopy(network)).eval(),
    )


def _trained_size(network: Any) -> int | None:
    arguments = getattr(network, "args", {})
    size = arguments.get("imgsz") if isinstance(arguments, dict) else getattr(arguments, "imgsz", None)
    return size if isinstance(size, int) else None


def _checked_size(size: int, stride: int, weights: str) -> int:
    if size < stride or size % stride:
        lower = max(size // stride * stride, stride)
        raise ExportError(
            f"input size {size} does not fit {weights}: it must be a multiple of its stride {stride}; "
            f"pass --input-size {lower} or {lower + stride}"
        )
    return size
