"""The INT8 recipe: a Q/DQ ONNX whose layers are quantised as far as measurements allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx

from photofinish.errors import ConfigError
from photofinish.export.graph.model import model_with_node_names
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.int8.frames import CalibrationFrames, frames_from_folder, frames_from_synthetic
from photofinish.export.int8.graph import (
    layer_inputs,
    layers_from_model,
    partly_quantised,
    quantised_from_limits,
    weights_share,
    with_limits,
)
from photofinish.export.int8.ranges import RangeCollector
from photofinish.export.int8.search import Array, SearchResult, disagreement_from_outputs, has_detections, search_layers
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.synthetic import CLASS_NAMES
from photofinish.variant import Variant

PERCENTILES = (99.9, 99.99, 99.999, 100.0)
"""Shares of the values seen that an INT8 range may hold; which one is best is measured."""
TARGET_DISAGREEMENT = 0.10
"""docs/accuracy.md shows how it relates to mAP."""
LAYER_FRAMES = 6
"""Frames on which each layer is measured alone."""
Activations = Literal["signed", "unsigned"]
"""signed: INT8 symmetric, which TensorRT asks for. unsigned: UINT8 with a zero point, which OpenVINO computes rightly
on processors without VNNI; there it gets signed ones wrong."""
PROGRESS_S = 5.0


_METHODS: Mapping[Activations, str] = {
    "signed": "symmetric",
    "unsigned": "activations with a zero point, weights of 7 bits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedModel:
    """An FP32 model whose layers have names, with the ranges of their inputs and its outputs on frames.search_nhwc."""

    model: onnx.ModelProto
    frames: CalibrationFrames
    ranges: RangeCollector
    reference: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedModel:
    """A Q/DQ model and how it came about. percentile: the range that agreed best with FP32."""

    model: onnx.ModelProto
    frames: CalibrationFrames
    activations: Activations
    percentile: float
    search: SearchResult
    layer_count: int
    int8_weights_share: float

    def to_card(self) -> dict[str, Any]:
        """What the served variant tells about its calibration."""
        return {
            "frames": self.frames.count,
            "frames_sha256": self.frames.sha256,
            "origin": self.frames.origin,
            "method": f"ONNX Runtime static Q/DQ, {_METHODS[self.activations]}, {self.percentile} percentile",
            "layers": self.layer_count,
            "restored_layers": list(self.search.restored),
            "int8_weights_share": round(self.int8_weights_share, 4),
            "disagreement_all_int8": round(self.search.disagreement_all, 4),
            "disagreement": round(self.search.disagreement, 4),
            "target_disagreement": self.search.target,
        }


def build_onnx_int8(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """ONNX in the frames contract with Q/DQ pairs; how it was calibrated goes into `context.calibration_cards`."""
    return _build(context, variant, out_path, "signed")


def build_onnx_int8_unsigned(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """The same with unsigned activations."""
    return _build(context, variant, out_path, "unsigned")


def _build(context: BuildContext, variant: Variant, out_path: Path, activations: Activations) -> dict[str, Any]:
    made = quantised_from_context(context, activations)
    onnx.save(made.model, out_path)
    context.calibration_cards[variant.name] = made.to_card()
    return context.check_output(variant, output_from_onnx(out_path, context.frames_nhwc))


def quantised_from_context(context: BuildContext, activations: Activations = "signed") -> QuantisedModel:
    """The INT8 model of this export; made once, then taken from `context.memo` by every recipe that starts from it.

    Raises RecipeUnavailableError when the user must give calibration frames.
    """

    def tell(line: str) -> None:
        context.on_progress(f"INT8: {line}")

    made = context.memo.get(f"int8 {activations}")
    if not isinstance(made, QuantisedModel):
        is_trained = not context.source.untrained
        calibrated = context.memo.get("int8 ranges")
        if not isinstance(calibrated, CalibratedModel):
            frames = calibration_frames(context)
            calibrated = calibrated_from_model(
                context.frames_onnx, frames, needs_detections=is_trained, on_progress=tell
            )
            context.memo["int8 ranges"] = calibrated
        made = quantised_from_calibrated(calibrated, activations, search=is_trained, on_progress=tell)
        context.memo[f"int8 {activations}"] = made
    return made


def calibration_frames(context: BuildContext) -> CalibrationFrames:
    """The user's folder, else the synthetic camera where the model knows its classes, else RecipeUnavailableError."""
    if context.calibration is not None:
        return frames_from_folder(context.calibration, context.source.input_wh)
    if context.source.class_names != CLASS_NAMES:
        raise RecipeUnavailableError(
            f"INT8 of {context.source.weights} needs calibration frames of the scenes it will see, and has none; "
            "collect them with `photofinish calibrate SOURCE --out FOLDER`, then pass --calibration FOLDER"
        )
    return frames_from_synthetic(context.source.input_wh)


def quantised_from_model(
    model: onnx.ModelProto,
    frames: CalibrationFrames,
    *,
    activations: Activations = "signed",
    target: float = TARGET_DISAGREEMENT,
    search: bool = True,
    on_progress: Callable[[str], None],
) -> QuantisedModel:
    """The FP32 model (frames contract) with its weighted layers in INT8, except the layers that cost accuracy."""
    calibrated = calibrated_from_model(model, frames, needs_detections=search, on_progress=on_progress)
    return quantised_from_calibrated(calibrated, activations, target=target, search=search, on_progress=on_progress)


def calibrated_from_model(
    model: onnx.ModelProto,
    frames: CalibrationFrames,
    *,
    needs_detections: bool,
    on_progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> CalibratedModel:
    """The ranges of the model's layers on frames.range_nhwc. needs_detections: refuse frames that show it nothing."""
    named = model_with_node_names(model)
    reference = output_from_onnx(named, frames.search_nhwc)
    if needs_detections and not has_detections(reference):
        raise ConfigError(
            f"the model finds nothing in the {len(frames.search_nhwc)} calibration frames it was tried on "
            f"({frames.origin}); INT8 needs frames with objects in them"
        )
    report = _Reporter(on_progress, clock)
    ranges = RangeCollector(named, layer_inputs(named))
    for index, frame in enumerate(frames.range_nhwc):
        ranges.add(frame)
        report.step("calibrating, frame", index + 1, len(frames.range_nhwc))
    return CalibratedModel(model=named, frames=frames, ranges=ranges, reference=reference)


def quantised_from_calibrated(
    calibrated: CalibratedModel,
    activations: Activations,
    *,
    target: float = TARGET_DISAGREEMENT,
    search: bool = True,
    on_progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> QuantisedModel:
    """The calibrated model in INT8. The percentile of its ranges and the layers to restore are chosen by measurement.

    What decides is the disagreement with FP32 on frames.search_nhwc. search: False quantises every layer (untrained
    weights have nothing to agree with).
    """
    named, frames, reference = calibrated.model, calibrated.frames, calibrated.reference
    layers = layers_from_model(named)
    report = _Reporter(on_progress, clock)

    def measured(candidate: onnx.ModelProto, step: int = 1) -> float:
        return disagreement_from_outputs(output_from_onnx(candidate, frames.search_nhwc[::step]), reference[::step])

    # A hundred layers one by one: few frames are enough to put them in order.
    layer_step = -(-len(frames.search_nhwc) // LAYER_FRAMES)

    candidates = _candidates(calibrated, activations)
    errors = {percentile: measured(candidate) for percentile, candidate in candidates.items()}
    percentile = min(PERCENTILES, key=lambda value: errors[value])
    quantised = candidates[percentile]
    on_progress(
        f"all {len(layers)} layers in INT8 disagree with FP32 by {errors[percentile]:.3f} ({percentile} percentile)"
    )

    def measure(chosen: frozenset[str]) -> float:
        if len(chosen) == len(layers):
            return errors[percentile]
        return measured(partly_quantised(quantised, named, chosen))

    result = search_layers(
        layers,
        measure,
        lambda chosen: measured(partly_quantised(quantised, named, chosen), layer_step),
        target=target if search else 1.0,
        on_step=lambda done, count: report.step("measuring layers, step", done, count),
    )
    kept = [layer for layer in layers if layer not in result.restored]
    if result.restored:
        on_progress(
            f"{len(result.restored)} layers stay in FP32, disagreement {result.disagreement:.3f} (target {target})"
        )
    final = partly_quantised(quantised, named, frozenset(kept))
    onnx.checker.check_model(final)
    return QuantisedModel(
        model=final,
        frames=frames,
        activations=activations,
        percentile=percentile,
        search=result,
        layer_count=len(layers),
        int8_weights_share=weights_share(named, kept),
    )


def _candidates(calibrated: CalibratedModel, activations: Activations) -> dict[float, onnx.ModelProto]:
    """All layers in INT8, by the percentile that the ranges hold."""
    limits = {percentile: calibrated.ranges.limits(percentile) for percentile in PERCENTILES}
    if activations == "unsigned":
        lows = calibrated.ranges.lows
        return {key: quantised_from_limits(calibrated.model, value, lows(value)) for key, value in limits.items()}
    widest = limits[PERCENTILES[-1]]
    base = quantised_from_limits(calibrated.model, widest)
    return {key: with_limits(base, widest, value) for key, value in limits.items()}


class _Reporter:
    """Progress lines, at most one every PROGRESS_S and one at the end."""

    def __init__(self, on_progress: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._on_progress = on_progress
        self._clock = clock
        self._last = clock()

    def step(self, what: str, done: int, count: int) -> None:
        """`done` of `count` are finished."""
        if done == count or self._clock() - self._last >= PROGRESS_S:
            self._last = self._clock()
            self._on_progress(f"{what} {done} of {count}")
