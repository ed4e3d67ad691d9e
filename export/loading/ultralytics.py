"""Ultralytics weights to a ModelSource: .pt, or .yaml for an untrained model. Ultralytics is imported here first."""

from __future__ import annotations

import copy
import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.frames_torch import WithVisibility
from photofinish.export.graph.source import DEFAULT_INPUT_SIZE, ModelSource
from photofinish.export.loading.class_names import names_by_number, names_of_classes
from photofinish.export.loading.kinds import layout_from_shape, refuse_kind
from photofinish.export.loading.vocabulary.words import GivenWords
from photofinish.keypoints.layout import POINT_WIDTH
from photofinish.machine.disk import user_cache_dir
from photofinish.machine.scratch import scratch_folder
from photofinish.variant import SQUARE, input_wh_from_aspect

# Before the import: no network at start, no package installed behind the user's back, no settings file in the
# user's configuration folder, nothing printed to stdout.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", str(user_cache_dir() / "ultralytics"))

from ultralytics.nn.modules import Detect, Pose, Segment
from ultralytics.nn.modules.head import Pose26, Segment26, WorldDetect, v10Detect
from ultralytics.nn.tasks import DetectionModel, PoseModel, guess_model_task, load_checkpoint, yaml_model_load
from ultralytics.utils.tal import dist2bbox

from photofinish.export.loading.vocabulary.fusing import Fused, fused_with_words, is_open_vocabulary

UNREADABLE = (
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


WEIGHTS_CHANGED = "photofinish_weights_changed"
"""The attribute of a network in a .pt that says what Photofinish made of which weights, as in ModelCard."""


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
        if isinstance(self.head, Pose):
            raw = torch.cat((raw, self._points(found["kpts"].float())), dim=1)
        rows: torch.Tensor = self.head.postprocess(raw.permute(0, 2, 1)) if self.head.end2end else raw
        return rows

    def _points(self, raw: torch.Tensor) -> torch.Tensor:
        """The head's own decoding of its points, with our FP32 anchors."""
        head = self.head
        as_exported = SimpleNamespace(
            export=True, kpt_shape=head.kpt_shape, nk=head.nk, anchors=self.anchors, strides=self.strides
        )
        points: torch.Tensor = type(head).kpts_decode(as_exported, raw)
        return points


def source_from_pt(
    path: Path,
    *,
    model: str,
    sha256: str,
    input_size: int | None,
    aspect: str = SQUARE,
    boxes_only: bool = False,
    words: GivenWords | None = None,
) -> ModelSource:
    """A trained detector or pose model from an Ultralytics checkpoint. aspect: of its input, see Variant.

    boxes_only: leave masks or points out. words: the classes of open-vocabulary weights.
    """
    try:
        network = network_from_pt(path)
    except UNREADABLE as exc:
        if _missing_module(exc).partition(".")[0] == "models":
            raise ExportError(
                f"{path} is a checkpoint of the yolov5 or yolov7 repository, whose code it needs; make an ONNX file "
                f"there with `python export.py --weights {path.name} --include onnx` (yolov7: `--grid`) and pass that"
            ) from exc
        raise ExportError(
            f"{path} is not an Ultralytics model ({reason_from_error(exc, limit=160)}); "
            "pass a .pt that Ultralytics trained, an .onnx file, or a .yaml for an untrained model"
        ) from exc
    return _source_from_network(
        network,
        path.name,
        model=model,
        sha256=sha256,
        input_size=input_size,
        aspect=aspect,
        untrained=False,
        boxes_only=boxes_only,
        words=words,
    )


def network_from_pt(path: Path) -> Any:
    """The network of this very file. Raises what torch and Ultralytics raise for a file that is not theirs.

    Ultralytics takes `yolov5nu.pt` where it is given `yolov5n.pt`, fetches what it does not find, and drops quotes from
    names: it is given a name of ours.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    with scratch_folder() as folder:
        link = folder / "weights.pt"
        link.symlink_to(path.resolve())
        network, _ = load_checkpoint(str(link))
    return network


def _missing_module(exc: BaseException | None) -> str:
    """The module that unpickling did not find, "" where that is not the cause."""
    while exc is not None:
        if isinstance(exc, ModuleNotFoundError):
            return exc.name or ""
        exc = exc.__cause__
    return ""


def source_from_yaml(
    weights: str, *, model: str, sha256: str, input_size: int | None, aspect: str = SQUARE
) -> ModelSource:
    """An untrained detector with seeded random weights from a model description, e.g. `yolo26n.yaml`."""
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    try:
        description = yaml_model_load(weights)
        refuse_kind(weights, task := guess_model_task(description))
        network = (PoseModel if task == "pose" else DetectionModel)(description, verbose=False)
    except UNREADABLE as exc:
        raise ExportError(
            f"{weights} is not a detector's description ({reason_from_error(exc)}); "
            "name one that Ultralytics ships, e.g. yolo26n.yaml"
        ) from exc
    finally:
        torch.random.set_rng_state(generator_state)
    network.task = task
    return _source_from_network(
        network, Path(weights).name, model=model, sha256=sha256, input_size=input_size, aspect=aspect, untrained=True
    )


def _source_from_network(
    network: Any,
    weights: str,
    *,
    model: str,
    sha256: str,
    input_size: int | None,
    aspect: str,
    untrained: bool,
    boxes_only: bool = False,
    words: GivenWords | None = None,
) -> ModelSource:
    task = getattr(network, "task", "detect")
    fused: Fused | None = None
    if is_open_vocabulary(network):
        fused = fused_with_words(copy.deepcopy(network).float().eval(), words, weights)
        network, left_out = fused.network, "masks" if task == "segment" else ""
    elif words:
        raise ExportError(
            f"{weights} finds the {len(network.names)} classes it was trained on and takes no words: leave --classes "
            "and its embeddings out, or pass open-vocabulary weights such as yoloe-26s-seg.pt"
        )
    else:
        refuse_kind(weights, task, boxes_only=boxes_only)
        left_out = {"segment": "masks", "pose": "keypoints"}.get(task, "") if boxes_only else ""
    head = network.model[-1]
    if type(head) not in (Detect, v10Detect, Pose, Pose26, Segment, Segment26, WorldDetect):
        raise ExportError(
            f"{weights} has a {type(head).__name__} head; supported are Ultralytics' Detect and Pose heads "
            "(YOLOv5u, v8, v9, v10, 11, 12, 26)"
        )
    channels = next(layer.in_channels for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
    if channels != 3:
        raise ExportError(
            f"{weights} takes pictures of {channels} {'channel' if channels == 1 else 'channels'}; Photofinish serves "
            "detectors of 3 (RGB): train on colour pictures, grey ones repeated three times"
        )
    network = copy.deepcopy(network).float().eval()
    head = network.model[-1]
    if boxes_only and isinstance(head, (Pose, Segment)):
        head.__class__ = Detect  # what masks and points add to it is then not computed
    layout, values = None, 0
    if isinstance(head, Pose):
        layout, values = layout_from_shape(head.kpt_shape, getattr(network, "kpt_names", None), weights)
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
    size = _checked_size(input_size or trained_size(network) or DEFAULT_INPUT_SIZE, stride, weights)
    width, height = input_wh_from_aspect(size, aspect, stride=stride)

    def in_contract(made: torch.nn.Module) -> torch.nn.Module:
        if layout is None or values == POINT_WIDTH:
            return made.eval()
        first = ROW_WIDTH if nms_free else 4 + int(head.nc)
        return WithVisibility(made, axis=2 if nms_free else 1, first=first, count=len(layout)).eval()

    whole = in_contract(_OutputOnly(network))
    with torch.no_grad():
        raw = whole(torch.zeros(1, 3, height, width))
    return ModelSource(
        kind="torch",
        model=model,
        weights=weights,
        weights_sha256=sha256,
        task="pose" if layout else "detect",
        head="rows" if nms_free else "yolo_raw",
        raw_dims=tuple(int(side) for side in raw.shape[1:]),
        nms_free=nms_free,
        input_wh=(width, height),
        stride=stride,
        class_names=names_of_classes(names_by_number(network.names, weights, remedy="correct it"), int(head.nc)),
        keypoints=layout,
        untrained=untrained,
        weights_changed=dict(getattr(network, WEIGHTS_CHANGED, {})),
        sorted_rows=nms_free,
        vocabulary=fused.vocabulary if fused else "",
        left_out=left_out,
        notices=fused.notices if fused else (),
        network=whole,
        make_fp16_network=lambda: in_contract(_HalfDetector(copy.deepcopy(network))),
    )


def trained_size(network: Any) -> int | None:
    """The side of the pictures that a network was trained on, as its file tells; None where it does not."""
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
