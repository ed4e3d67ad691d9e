"""What `--weights` may say, and the file behind it."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import unicodedata
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from photofinish.errors import ExportError
from photofinish.export.graph.source import ModelSource
from photofinish.export.loading.told import Told
from photofinish.export.loading.vocabulary.words import GivenWords
from photofinish.machine.disk import user_cache_dir
from photofinish.source_hash import sha256_from_file
from photofinish.variant import SQUARE

FileKind = Literal["pt", "yaml", "onnx", "torchvision"]
DEMO = "demo"
RESHAPED = ("pt", "yaml")
"""Kinds of weights whose network takes an input of any shape."""
TORCHVISION = "torchvision:"
UNTRAINED_DEMO = "yolo26n.yaml"
RELEASE = "https://github.com/ultralytics/assets/releases/download"
OFFICIAL_WEIGHTS = {
    **{f"yolo26{size}.pt": f"{RELEASE}/v8.4.0/yolo26{size}.pt" for size in "nsmlx"},
    **{f"yolo26{size}-pose.pt": f"{RELEASE}/v8.4.0/yolo26{size}-pose.pt" for size in "nsmlx"},
    **{f"yolo11{size}.pt": f"{RELEASE}/v8.3.0/yolo11{size}.pt" for size in "nsmlx"},
    **{f"yolo11{size}-pose.pt": f"{RELEASE}/v8.3.0/yolo11{size}-pose.pt" for size in "nsmlx"},
    **{f"yolov10{size}.pt": f"{RELEASE}/v8.3.0/yolov10{size}.pt" for size in "nsmblx"},
    **{f"yolov8{size}.pt": f"{RELEASE}/v8.3.0/yolov8{size}.pt" for size in "nsmlx"},
    **{f"yolov8{size}-pose.pt": f"{RELEASE}/v8.3.0/yolov8{size}-pose.pt" for size in "nsmlx"},
    **{f"yolov5{size}u.pt": f"{RELEASE}/v8.3.0/yolov5{size}u.pt" for size in "nsmlx"},
    **{
        name: f"{RELEASE}/v8.4.0/{name}"
        for family, sizes in {"v8": "sml", "11": "sml", "26": "nsmlx"}.items()
        for size in sizes
        for name in (f"yoloe-{family}{size}-seg.pt", f"yoloe-{family}{size}-seg-pf.pt")
    },
    **{f"yolov8{size}-worldv2.pt": f"{RELEASE}/v8.4.0/yolov8{size}-worldv2.pt" for size in "smlx"},
}
"""Names that Ultralytics gives its own weights, and where each is fetched from."""
OFFICIAL_ENCODERS = {name: f"{RELEASE}/v8.4.0/{name}" for name in ("mobileclip_blt.ts", "mobileclip2_b.ts")}
"""Text encoders of YOLOE, likewise."""
DOWNLOAD_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """Weights that were found. spec: what a loader opens; notice: a line the user must see, or ""."""

    kind: FileKind
    spec: str
    model: str
    sha256: str
    notice: str = ""


def model_name_from_weights(weights: str) -> str:
    """The model name that a weights file gives its variants, e.g. `yolo26n` for `/data/YOLO26n.pt`.

    Accents go; where other letters do, a hash of the file's name stays: `安全帽-v2.pt` and `车辆-v2.pt` stay apart.
    """
    stem = weights.partition(":")[2] if weights.startswith(TORCHVISION) else Path(weights).stem
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", stem.lower()) if not unicodedata.combining(sign))
    name = re.sub(r"[^a-z0-9_.-]+", "_", plain).lstrip("_.-")
    if name and not any(sign.isalnum() and not sign.isascii() for sign in plain):
        return name
    lost = hashlib.sha256(unicodedata.normalize("NFC", stem).encode()).hexdigest()[:6]
    return f"{name.rstrip('_.-') or 'model'}_{lost}"


def find_weights(weights: str, *, model_name: str | None = None) -> WeightsFile:
    """The weights that `weights` names: a .pt, .onnx or .yaml, an official name, `torchvision:NAME` or `demo`.

    Loads nothing. Raises ExportError when there is no such file, saying what can be passed instead.
    """
    if weights == DEMO:
        return _demo_weights(model_name)
    model = _model_name(model_name, weights)
    if weights.startswith(TORCHVISION):
        sha256 = hashlib.sha256(weights.encode()).hexdigest()
        notice = f"{weights} is untrained here: good for speed, its classes mean nothing"
        return WeightsFile(kind="torchvision", spec=weights, model=model, sha256=sha256, notice=notice)
    path = Path(weights).expanduser()
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        # One of those that Ultralytics ships is no file here, and hashed by its name.
        sha256 = sha256_from_file(path) if path.is_file() else hashlib.sha256(weights.encode()).hexdigest()
        spec = str(path) if path.is_file() else weights
        return WeightsFile(kind="yaml", spec=spec, model=model, sha256=sha256, notice=_untrained_notice(weights))
    if suffix not in (".pt", ".onnx"):
        raise ExportError(
            f"{weights} is not a kind of weights Photofinish reads; pass a .pt, .onnx or .yaml file, an official name "
            "such as yolo26n.pt, or demo"
        )
    if path.is_dir():
        raise ExportError(f"{weights} is a folder; pass the weights file inside it")
    if not path.is_file():
        if weights not in OFFICIAL_WEIGHTS:
            raise ExportError(
                f"{weights} does not exist; pass the path of a .pt, .onnx or .yaml file, an official name such as "
                "yolo26n.pt, or demo"
            )
        path = downloaded_weights(weights)
    kind: FileKind = "onnx" if suffix == ".onnx" else "pt"
    return WeightsFile(kind=kind, spec=str(path), model=model, sha256=sha256_from_file(path))


def with_words(found: WeightsFile, words: GivenWords | None, *, model_name: str | None = None) -> WeightsFile:
    """The weights with their words: a model of its own name, unless the user named it, and of its own hash."""
    if words is None:
        return found
    model = found.model if model_name else words.model_name(found.model)
    return replace(found, model=model, sha256=words.weights_sha256(found.sha256))


def find_text_encoder(encoder: Path | None, *, on_progress: Callable[[str], None]) -> Path | None:
    """The text encoder's file; one that is no file here and has an official name is fetched, which is told."""
    if encoder is None or encoder.is_file() or str(encoder) not in OFFICIAL_ENCODERS:
        return encoder
    on_progress(f"{encoder} is no file here: taking the official one, which is fetched once")
    return downloaded_weights(
        str(encoder), urls=OFFICIAL_ENCODERS, otherwise="and pass its path with --text-encoder, or --class-embeddings"
    )


def downloaded_weights(
    name: str, *, urls: dict[str, str] | None = None, cache: Path | None = None, otherwise: str = ""
) -> Path:
    """The file of official weights, fetched on the first call. ExportError, with what to do, where it cannot be.

    otherwise: what to do with a copy of the file.
    """
    untrained = f"pass {Path(name).stem.removesuffix('u')}.yaml for an untrained model, or demo"
    if name.startswith("yoloe") or "world" in name:
        untrained = "pass other weights"
    otherwise = otherwise or f"and pass its path, or {untrained}"
    url = (urls or OFFICIAL_WEIGHTS)[name]
    folder = cache or user_cache_dir() / "weights"
    target = folder / name
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}"
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as response, partial.open("wb") as stream:
            shutil.copyfileobj(response, stream)
            expected, written = response.headers.get("Content-Length", ""), stream.tell()
        # A connection that breaks off raises nothing.
        if expected.isdecimal() and int(expected) != written:
            raise OSError(f"the connection broke off after {written} of {expected} bytes; try again")
        partial.replace(target)
    except (OSError, http.client.HTTPException) as exc:
        raise ExportError(
            f"{name} is not here and cannot be fetched from {url.split('/')[2]} ({exc}); copy the file to this machine "
            f"{otherwise}"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)
    return target


def load_source(
    found: WeightsFile, *, input_size: int | None = None, aspect: str = SQUARE, told: Told | None = None
) -> ModelSource:
    """The model itself. Imports torch and what the kind of weights needs.

    aspect: of the input, see Variant; ExportError where it is no square and the weights know only one shape. told: what
    the user says about the weights.
    """
    path = Path(found.spec)
    boxes_only = told is not None and told.boxes_only
    if aspect != SQUARE and found.kind not in RESHAPED:
        kinds = " and ".join(f".{kind}" for kind in RESHAPED)
        raise ExportError(f"{found.spec} has an input of its own shape; an input of {aspect} is for {kinds} weights")
    if found.kind == "onnx":
        from photofinish.export.loading.onnx import source_from_onnx

        return source_from_onnx(path, model=found.model, sha256=found.sha256, input_size=input_size, told=told)
    if found.kind == "torchvision":
        from photofinish.export.loading.torchvision import source_from_torchvision

        return source_from_torchvision(found.spec, model=found.model, sha256=found.sha256, input_size=input_size)
    from photofinish.export.loading.ultralytics import source_from_pt, source_from_yaml

    if found.kind == "yaml":
        return source_from_yaml(
            found.spec, model=found.model, sha256=found.sha256, input_size=input_size, aspect=aspect
        )
    _require_whole(path)
    return source_from_pt(
        path,
        model=found.model,
        sha256=found.sha256,
        input_size=input_size,
        aspect=aspect,
        boxes_only=boxes_only,
        words=told.words if told else None,
    )


def _require_whole(path: Path) -> None:
    """ExportError for a checkpoint whose end is missing: what torch says of it sends the user after other weights."""
    with path.open("rb") as file:
        begins_as_archive = file.read(4) == b"PK\x03\x04"
    if begins_as_archive and not zipfile.is_zipfile(path):
        raise ExportError(
            f"{path} is damaged: its end is missing, {path.stat().st_size / 1e6:.1f} MB are here; "
            "copy or download the file again, and compare its size with the original's"
        )


def _model_name(given: str | None, weights: str) -> str:
    return given.lower() if given else model_name_from_weights(weights)


def _untrained_notice(weights: str) -> str:
    return f"{weights} is a description without weights: the model is untrained and its boxes mean nothing"


def _demo_weights(model_name: str | None) -> WeightsFile:
    """The project's own detector, or an untrained one where the checkout has none."""
    trained = sorted((Path(__file__).parents[1] / "weights").glob("demo*.pt"))
    if trained:
        path = trained[-1]
        model = _model_name(model_name, str(path))
        return WeightsFile(kind="pt", spec=str(path), model=model, sha256=sha256_from_file(path))
    return WeightsFile(
        kind="yaml",
        spec=UNTRAINED_DEMO,
        model=_model_name(model_name, DEMO),
        sha256=hashlib.sha256(UNTRAINED_DEMO.encode()).hexdigest(),
        notice="no demo weights here: the demo runs an untrained YOLO26n, its boxes mean nothing",
    )
