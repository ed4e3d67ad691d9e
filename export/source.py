"""Loaded weights: what every recipe starts from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import torch

from photofinish.errors import ExportError
from photofinish.model_card import Head

SourceKind = Literal["torch", "onnx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model as its owner gave it, ready for the recipes.

    kind: "torch" has `network` (images FP32 [N,3,H,W] in 0..1 RGB → raw output, eval mode, on the CPU), and
    `make_fp16_network` (a new one of the same contract: layers in FP16, what follows them in FP32);
    "onnx" has `onnx_model` (the user's graph in its own contract, with our names and a dynamic batch).
    head: layout of the raw output. raw_dims: its shape without the batch dimension.
    sorted_rows: a rows head that already comes best first. frames_contract: the ONNX already speaks our contract.
    """

    kind: SourceKind
    model: str
    weights: str
    weights_sha256: str
    task: Literal["detect", "classify"]
    head: Head
    raw_dims: tuple[int, ...]
    nms_free: bool
    input_wh: tuple[int, int]
    stride: int
    class_names: tuple[str, ...]
    untrained: bool = False
    sorted_rows: bool = False
    frames_contract: bool = False
    network: torch.nn.Module | None = None
    make_fp16_network: Callable[[], torch.nn.Module] | None = None
    onnx_model: onnx.ModelProto | None = None

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


def model_name_from_weights(weights: str) -> str:
    """The model name that a weights file gives its variants, e.g. `yolo26n` for `/data/YOLO26n.pt`."""
    stem = weights.partition(":")[2] if weights.startswith("torchvision:") else Path(weights).stem
    return re.sub(r"[^a-z0-9_.-]+", "_", stem.lower()).lstrip("_.-")


def sha256_from_file(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
