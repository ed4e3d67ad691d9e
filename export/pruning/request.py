"""What is to be pruned, and what cannot be: known before anything heavy is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photofinish.errors import ConfigError, ExportError
from photofinish.export.loading.weights import WeightsFile

INSTALL = "pip install 'photofinish[prune]'"
MAX_RATIO = 0.9
FOLDER = "pruned"
"""The folder in the staging folder where pruned weights are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """What to prune, by how much and with which budget. ratio: the share of each layer's channels that goes.

    pictures: to learn from. input_size: side of the square, None as trained. device: cpu or cuda.
    """

    found: WeightsFile
    ratio: float
    pictures: Sequence[Path]
    epochs: int
    minutes: float
    device: str
    input_size: int | None = None

    @property
    def model(self) -> str:
        """The name of the pruned model: `yolo26n-pruned30`."""
        return pruned_name(self.found.model, self.ratio)


def pruned_name(model: str, ratio: float) -> str:
    """The name of a model's pruned family; the weights changed, so it never shares the model's own."""
    return f"{model}-pruned{round(ratio * 100):02d}"


def check_prunable(found: WeightsFile, ratio: float) -> None:
    """ConfigError or ExportError, in one line, for a share or weights that cannot be pruned."""
    if not 0 < ratio < MAX_RATIO:
        raise ConfigError(f"--prune must lie between 0 and {MAX_RATIO}, got {ratio:g}; begin with --prune 0.3")
    if found.kind == "onnx":
        raise ExportError(
            f"{found.spec} is an ONNX file, which cannot be fine-tuned; pass the .pt that it was made of, or export it "
            "without --prune"
        )
    if found.kind == "torchvision":
        raise ExportError(f"{found.spec} is a classifier; --prune takes detectors (.pt): export it without --prune")
    if found.kind == "yaml":
        raise ExportError(
            f"{found.spec} is a description without weights, so there is nothing to keep; pass trained weights (.pt)"
        )
    if importlib.util.find_spec("torch_pruning") is None:
        raise ExportError(f"--prune needs the package torch-pruning, which is not installed; run `{INSTALL}`")
