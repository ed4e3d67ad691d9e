"""The value range of every tensor that would be quantised, from histograms gathered frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.model import copied_model
from photofinish.export.graph.session import ORT_ERRORS

BINS = 4096


class RangeCollector:
    """Histograms of |value| of the named tensors; frames are counted one at a time, so memory stays small."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        watched = copied_model(model)
        del watched.graph.output[:]
        watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except ORT_ERRORS as exc:
            raise ExportError(f"INT8: the graph cannot be calibrated: {reason_from_error(exc)}") from exc
        self._tensors = tuple(tensors)
        self._histograms: dict[str, _Histogram] = {name: _Histogram() for name in tensors}

    def add(self, frame_hwc: npt.NDArray[np.uint8]) -> None:
        """Count one letterboxed RGB frame (height, width, 3)."""
        name = self._session.get_inputs()[0].name
        try:
            outputs = self._session.run(list(self._tensors), {name: frame_hwc[None]})
        except ORT_ERRORS as exc:
            raise ExportError(f"INT8: a calibration frame failed: {reason_from_error(exc)}") from exc
        for tensor, values in zip(self._tensors, outputs, strict=True):
            self._histograms[tensor].add(values)

    def limits(self, percentile: float) -> dict[str, float]:
        """For each tensor the smallest limit that `percentile` % of its absolute values seen do not exceed."""
        return {tensor: histogram.limit(percentile) for tensor, histogram in self._histograms.items()}

    def lows(self, limits: Mapping[str, float]) -> dict[str, float]:
        """For each tensor the smallest value seen, at most 0 and not below its limit's negative."""
        return {tensor: max(self._histograms[tensor].smallest, -limit) for tensor, limit in limits.items()}


class _Histogram:
    """Counts of absolute values in equal bins from 0 to `top`; `top` doubles when larger values come."""

    def __init__(self) -> None:
        self._top = 0.0
        self._largest = 0.0
        self.smallest = 0.0
        self._counts = np.zeros(BINS, dtype=np.float64)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        absolute = np.abs(values, dtype=np.float32).reshape(-1)
        largest = float(absolute.max(initial=0.0))
        if not np.isfinite(largest):
            raise ExportError("INT8: the FP32 model gives NaN or infinity on a calibration frame; check the weights")
        self._largest = max(self._largest, largest)
        self.smallest = min(self.smallest, float(values.min(initial=0.0)))
        if self._top == 0.0:
            self._top = largest
        if self._top == 0.0:
            return
        while largest > self._top:
            self._counts = np.concatenate([self._counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2)])
            self._top *= 2
        # calcHist leaves out the upper edge; the scale keeps the largest value inside the last bin.
        upper = float(np.nextafter(np.float32(self._top), np.float32(np.inf)))
        counts = cv2.calcHist([absolute], [0], None, [BINS], [0.0, upper])
        self._counts += counts.reshape(-1)

    def limit(self, percentile: float) -> float:
        """Upper edge of the bin that holds the percentile, never above the largest value seen."""
        total = float(self._counts.sum())
        if total == 0.0:
            return 0.0
        cumulative = np.cumsum(self._counts)
        index = int(np.searchsorted(cumulative, total * percentile / 100))
        return min(self._largest, (index + 1) * self._top / BINS)
