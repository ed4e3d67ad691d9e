"""What the recipes of one export share: the source, reference pictures and outputs, intermediate ONNX graphs."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from photofinish.detections import MAX_ROWS
from photofinish.errors import ExportError
from photofinish.export.graph.dynamic_batch import BATCH, model_with_dynamic_batch
from photofinish.export.graph.frames_onnx import frames_model_from_tensor_model
from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.graph.model import OPSET
from photofinish.export.graph.parity import (
    check_raw,
    check_rows,
    check_scores,
    frames_from_pictures,
    reference_picture_paths,
)
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.graph.source import ModelSource
from photofinish.export.loading.told import Told
from photofinish.heads import rows_from_head
from photofinish.letterbox import images_nchw_from_frames
from photofinish.variant import Device, Variant, tensor_names


class RecipeUnavailableError(ExportError):
    """This machine lacks what a recipe needs (a library, a GPU): the variant is left out unless asked for by name."""


Array = npt.NDArray[np.float32]


@dataclass(kw_only=True)
class BuildContext:
    """One export run. Everything costly is made on first use and kept for the other recipes.

    device: what the server will run on; artifacts are made and compared on the CPU unless a recipe says otherwise.
    calibration: the user's folder of calibration pictures. calibration_cards: by variant name, what a recipe did with
    it, for the card. targets: GPU architectures to build engines for, the GPU at hand when empty. engine_cards: by
    variant name, the engines that were built. weights_spec, model_name, input_size, told, kernels: as the user gave
    them. memo: costly intermediates of recipes, by the recipe module's own key. work_dir: a folder for intermediate
    files, deleted after the run.
    """

    source: ModelSource
    device: Device
    work_dir: Path
    on_progress: Callable[[str], None]
    calibration: Path | None = None
    calibration_cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    engine_cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights_spec: str = ""
    model_name: str | None = None
    input_size: int | None = None
    told: Told = field(default_factory=Told)
    kernels: bool = False
    memo: dict[str, object] = field(default_factory=dict)
    picture_paths: tuple[Path, ...] = field(default_factory=reference_picture_paths)

    def rebuild_command(self, variant: Variant) -> str:
        """The command that makes this variant again."""
        options: list[tuple[object, ...]] = [("--weights", self.weights_spec or self.source.weights)]
        options.append(("--variant", variant.suffix))
        options += [("--target", target) for target in self.targets]
        if self.model_name:
            options.append(("--model-name", self.model_name))
        if self.input_size:
            options.append(("--input-size", self.input_size))
        options += self.told.options
        if self.calibration and variant.is_quantised:
            options.append(("--calibration", self.calibration))
        return shlex.join(["photofinish", "export", *(str(word) for option in options for word in option)])

    @cached_property
    def frames_nhwc(self) -> npt.NDArray[np.uint8]:
        """The reference pictures, letterboxed RGB: (n, height, width, 3) uint8."""
        return frames_from_pictures(self.picture_paths, self.source.input_wh)

    @cached_property
    def images_nchw(self) -> Array:
        """The reference pictures as the tensor contract takes them: (n, 3, height, width) float32."""
        return images_nchw_from_frames(self.frames_nhwc)

    @cached_property
    def reference_raw(self) -> Array:
        """The source's own raw output on the reference pictures: PyTorch eager, or the user's ONNX as it is."""
        if self.source.kind == "torch":
            return output_from_network(self.source.expect_network(), self.images_nchw)
        return output_from_onnx(self.tensor_onnx, self.images_nchw)

    @cached_property
    def reference_output(self) -> Array:
        """The source's output on the reference pictures in the frames contract: (n, 300, …) rows or (n, classes)."""
        if self.source.kind == "torch":
            return output_from_network(frames_network_from_source(self.source), self.frames_nhwc)
        if self.source.frames_contract:
            return output_from_onnx(self.frames_onnx, self.frames_nhwc)
        return np.stack([_best_rows(raw, self.source) for raw in self.reference_raw])

    @cached_property
    def tensor_onnx(self) -> onnx.ModelProto:
        """FP32 ONNX in the tensor contract, `images` [N,3,H,W] → `output0`, dynamic batch."""
        if self.source.kind == "onnx":
            return self.source.expect_onnx()
        self.on_progress("exporting the network to ONNX")
        path = self.work_dir / "tensor.onnx"
        width, height = self.source.input_wh
        names = tensor_names("tensor")
        with torch.no_grad(), warnings.catch_warnings():
            # The tracing exporter is deprecated, but takes a fixed-shape trace with a dynamic batch as it is.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self.source.expect_network(),
                (torch.zeros(1, 3, height, width),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: BATCH} for name in names},
            )
        dims = (3, height, width)
        return model_with_dynamic_batch(onnx.load(path), self.source.weights, input_dims=dims, names=names)

    @cached_property
    def frames_onnx(self) -> onnx.ModelProto:
        """FP32 ONNX in the frames contract, `frames` UINT8 [N,H,W,3] → `detections` (or `scores`), dynamic batch."""
        source = self.source
        if source.frames_contract:
            return self.tensor_onnx
        return frames_model_from_tensor_model(
            self.tensor_onnx,
            head=source.head,
            input_wh=source.input_wh,
            raw_dims=source.raw_dims,
            sorted_rows=source.sorted_rows,
            width=source.row_width,
        )

    def check_output(self, variant: Variant, found: Array, *, precision: str = "") -> dict[str, Any]:
        """Parity figures of an artifact's output on the reference pictures; ExportError when it is too far off."""
        precision = precision or variant.precision
        if variant.contract == "tensor":
            return check_raw(variant.name, found, self.reference_raw)
        if self.source.task == "classify":
            return check_scores(variant.name, found, self.reference_output, precision)
        return check_rows(variant.name, found, self.reference_output, precision)


def _best_rows(raw: Array, source: ModelSource) -> Array:
    """The contract's 300 rows as the client decodes them from one picture's raw output."""
    found = rows_from_head(raw, source.head, min_confidence=0.0, keypoints=len(source.keypoints or ()))
    rows = np.zeros((MAX_ROWS, source.row_width), dtype=np.float32)
    best = found[np.argsort(-found[:, 4], kind="stable")][:MAX_ROWS]
    rows[: len(best)] = best
    return rows


def output_from_network(network: torch.nn.Module, batch: npt.NDArray[Any]) -> Array:
    """The network's output for each picture of a batch, one at a time: float32."""
    with torch.no_grad():
        outputs = [network(torch.from_numpy(batch[index : index + 1])) for index in range(len(batch))]
    return np.concatenate([output.numpy() for output in outputs]).astype(np.float32)
