"""The textbook pipeline: one frame at a time, one synchronous call."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any

import numpy as np
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from photofinish.access.token import access_to
from photofinish.client.pipeline.frame_result import FrameAccount, FrameCount, FrameResult, PipelineObserver
from photofinish.client.triton.errors import error_from_answer, error_from_triton
from photofinish.client.triton.served import ServedModel, TritonClient, channel_options, grpc_target
from photofinish.client.triton.tensors import DTYPES, write_input
from photofinish.client.triton.transport import GRPC
from photofinish.frame import Frame
from photofinish.heads import detections_from_output


class BaselinePipeline:
    """Read, letterbox, FP32, one synchronous gRPC call, decode: what Triton's and Ultralytics' guides do.

    It uses tritonclient's public API as the guides do: new input objects for every call, pictures as gRPC bytes.
    """

    transport = GRPC

    def __init__(
        self,
        url: str,
        model_name: str,
        *,
        min_confidence: float = 0.25,
        timeout_s: float = 10.0,
        observer: PipelineObserver | None = None,
    ) -> None:
        self.url = grpc_target(url)
        with TritonClient(self.url, timeout_s=timeout_s) as client:
            self.model = client.model(model_name)
        self.models: tuple[ServedModel, ...] = (self.model,)
        self.card = self.model.require_card()
        self.min_confidence = min_confidence
        self.timeout_s = timeout_s
        self._input_shape = (1, *self.model.input_dims())
        self._account = FrameAccount(observer)
        self._headers = access_to(self.url).grpc_headers
        self._client: Any = triton_grpc.InferenceServerClient(self.url, channel_args=channel_options(self.url))

    def __enter__(self) -> BaselinePipeline:
        """The pipeline itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._client.close()

    @property
    def counts(self) -> FrameCount:
        """Where the frames went so far."""
        return self._account.snapshot()

    @property
    def dropped(self) -> int:
        """Frames that were due and not inferred: those the source skipped while this pipeline was busy."""
        return self.counts.dropped_total

    def run(self, frames: Iterable[Frame]) -> Generator[FrameResult, None, None]:
        """One result per frame, in order."""
        for frame in frames:
            self._account.count_read(frame)
            try:
                result = self.process(frame)
            except BaseException:
                self._account.count_drop(frame.stream_id, "error")
                raise
            self._account.count_done(result)
            yield result

    def process(self, frame: Frame) -> FrameResult:
        """The result of one frame. Not counted in `counts`."""
        begun_ns = time.perf_counter_ns()
        tensor = self.model.inputs[0]
        pixels = np.empty(self._input_shape, dtype=DTYPES[tensor.datatype])
        letterbox = write_input(frame.image_hwc_bgr, self.card.contract, self.card.input_wh, pixels[0])
        prepared_ns = time.perf_counter_ns()
        infer_input = triton_grpc.InferInput(tensor.name, list(pixels.shape), tensor.datatype)
        infer_input.set_data_from_numpy(pixels)
        output_name = self.model.outputs[0].name
        try:
            answer = self._client.infer(
                self.model.name,
                [infer_input],
                outputs=[triton_grpc.InferRequestedOutput(output_name)],
                client_timeout=self.timeout_s,
                headers=self._headers,
            )
        except InferenceServerException as exc:
            raise error_from_triton(exc, url=self.url, model=self.model.name) from exc
        received_ns = time.perf_counter_ns()
        try:
            output = np.asarray(answer.as_numpy(output_name)[0], dtype=np.float32)
        except (ValueError, LookupError, TypeError) as exc:
            raise error_from_answer(exc, url=self.url, model=self.model.name) from exc
        detections = detections_from_output(output, self.card, letterbox, min_confidence=self.min_confidence)
        finished_ns = time.perf_counter_ns()
        return FrameResult(
            frame=frame,
            detections=detections,
            begun_ns=begun_ns,
            finished_ns=finished_ns,
            prepare_ns=prepared_ns - begun_ns,
            wire_ns=received_ns - prepared_ns,
            decode_ns=finished_ns - received_ns,
        )
