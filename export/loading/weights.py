"""What `--weights` may say, and the file behind it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from photofinish.errors import ExportError
from photofinish.export.loading.downloads import OFFICIAL_WEIGHTS, downloaded_weights
from photofinish.export.source import ModelSource, model_name_from_weights, sha256_from_file
from photofinish.variant import SQUARE

WeightsKind = Literal["pt", "yaml", "onnx", "torchvision"]
DEMO = "demo"
RESHAPED = ("pt", "yaml")
"""Kinds of weights whose network takes an input of any shape."""
TORCHVISION = "torchvision:"
UNTRAINED_DEMO = "yolo26n.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """Weights that were found. spec: what a loader opens; notice: a line the user must see, or ""."""

    kind: WeightsKind
    spec: str
    model: str
    sha256: str
    notice: str = ""


def find_weights(weights: str, *, model_name: str | None = None) -> WeightsFile:
    """The weights that `weights` names: a .pt, .onnx or .yaml, an official name, `torchvision:NAME` or `demo`.

    Loads nothing. Raises ExportError when there is no such file, saying what can be passed instead.
    """
    model = (model_name or model_name_from_weights(weights)).lower()
    if weights == DEMO:
        return _demo_weights(model_name)
    if weights.startswith(TORCHVISION):
        sha256 = hashlib.sha256(weights.encode()).hexdigest()
        notice = f"{weights} is untrained here: good for speed, its classes mean nothing"
        return WeightsFile(kind="torchvision", spec=weights, model=model, sha256=sha256, notice=notice)
    path = Path(weights).expanduser()
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        # The description is hashed by its name when it is one of those that Ultralytics ships.
        sha256 = sha256_from_file(path) if path.is_file() else hashlib.sha256(weights.encode()).hexdigest()
        return WeightsFile(kind="yaml", spec=weights, model=model, sha256=sha256, notice=_untrained_notice(weights))
    if suffix not in (".pt", ".onnx"):
        raise ExportError(
            f"{weights} is not a kind of weights Photofinish reads; pass a .pt, .onnx or .yaml file, an official name "
            "such as yolo26n.pt, or demo"
        )
    if path.is_dir():
        raise ExportError(f"{weights} is a folder; pass the weights file inside it")
    if not path.is_file():
        if weights not in OFFICIAL_WEIGHTS:
            raise ExportError(f"{weights} does not exist; pass the path of a .pt, .onnx or .yaml file, or demo")
        path = downloaded_weights(weights)
    kind: WeightsKind = "onnx" if suffix == ".onnx" else "pt"
    return WeightsFile(kind=kind, spec=str(path), model=model, sha256=sha256_from_file(path))


def load_source(found: WeightsFile, *, input_size: int | None = None, aspect: str = SQUARE) -> ModelSource:
    """The model itself. Imports torch and what the kind of weights needs.

    aspect: of the input, see Variant; ExportError where it is no square and the weights know only one shape.
    """
    path = Path(found.spec)
    if aspect != SQUARE and found.kind not in RESHAPED:
        raise ExportError(f"{found.spec} has an input of its own shape; {aspect} is for weights of {RESHAPED}")
    if found.kind == "onnx":
        from photofinish.export.loading.onnx import source_from_onnx

        return source_from_onnx(path, model=found.model, sha256=found.sha256, input_size=input_size)
    if found.kind == "torchvision":
        from photofinish.export.loading.torchvision import source_from_torchvision

        return source_from_torchvision(found.spec, model=found.model, sha256=found.sha256, input_size=input_size)
    from photofinish.export.loading.ultralytics import source_from_pt, source_from_yaml

    if found.kind == "yaml":
        return source_from_yaml(
            found.spec, model=found.model, sha256=found.sha256, input_size=input_size, aspect=aspect
        )
    return source_from_pt(path, model=found.model, sha256=found.sha256, input_size=input_size, aspect=aspect)


def _untrained_notice(weights: str) -> str:
    return f"{weights} is a description without weights: the model is untrained and its boxes mean nothing"


def _demo_weights(model_name: str | None) -> WeightsFile:
    """The project's own detector, or an untrained one where the checkout has none."""
    trained = sorted((Path(__file__).parents[1] / "weights").glob("demo*.pt"))
    if trained:
        path = trained[-1]
        model = model_name or model_name_from_weights(str(path))
        return WeightsFile(kind="pt", spec=str(path), model=model, sha256=sha256_from_file(path))
    return WeightsFile(
        kind="yaml",
        spec=UNTRAINED_DEMO,
        model=model_name or DEMO,
        sha256=hashlib.sha256(UNTRAINED_DEMO.encode()).hexdigest(),
        notice="no demo weights here: the demo runs an untrained YOLO26n, its boxes mean nothing",
    )
