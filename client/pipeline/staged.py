"""Two stages on one picture: models that see the whole of it, then models that see the first one's boxes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from photofinish.client.choosing.crops import CropChoice
from photofinish.client.pipeline.frame_result import FrameResult, PipelineObserver
from photofinish.client.pipeline.joint import JointPipeline
from photofinish.client.pipeline.second_look import SecondLook
from photofinish.client.triton.joint import JointSlot
from photofinish.client.triton.session import ignore_notice
from photofinish.client.triton.transport import TransportChoice
from photofinish.frame import Frame


class StagedPipeline(JointPipeline):
    """As the JointPipeline, of one model or several; then others look at crops of the first one's boxes.

    A crop is cut out of the frame itself, not out of what was made for the first model: a small face keeps its pixels.
    A second model that is late or fails leaves the others' boxes, and its part says why. crop_batch: crops of one
    request at most; None for what suits the second model's device.
    """

    def __init__(
        self,
        url: str,
        model_names: Sequence[str],
        crops: Sequence[CropChoice],
        *,
        http_url: str | None = None,
        transport: TransportChoice = "auto",
        max_in_flight: int | None = None,
        crop_batch: int | None = None,
        drop_late: bool = False,
        min_confidence: float = 0.25,
        timeout_s: float = 10.0,
        on_notice: Callable[[str], None] = ignore_notice,
        observer: PipelineObserver | None = None,
    ) -> None:
        super().__init__(
            url,
            model_names,
            http_url=http_url,
            transport=transport,
            max_in_flight=max_in_flight,
            drop_late=drop_late,
            min_confidence=min_confidence,
            timeout_s=timeout_s,
            on_notice=on_notice,
            observer=observer,
        )
        try:
            self._second = SecondLook(
                self.url,
                crops,
                self.card,
                native=self._native,
                transport=self.transport,
                http_url=http_url,
                slots=self.max_in_flight,
                batch_size=crop_batch,
                min_confidence=min_confidence,
                timeout_s=timeout_s,
                on_notice=on_notice,
            )
        except BaseException:
            super().close()
            raise
        self.models += self._second.models

    def close(self) -> None:
        """As the JointPipeline, then the second stage."""
        super().close()
        self._second.close()

    def _process_in(self, slot: JointSlot, frame: Frame) -> FrameResult:
        result = super()._process_in(slot, frame)
        first = result.parts[0]
        if first.problem:
            parts = self._second.parts_without_look(first.name)
        else:
            (parts,) = self._second.look([(frame.image_hwc_bgr, first.detections)])
        finished_ns = time.perf_counter_ns()
        return dataclasses.replace(
            result,
            parts=result.parts + parts,
            crops_ns=finished_ns - result.finished_ns,
            finished_ns=finished_ns,
        )
