"""Senders for the load generator: prepared tensors over a session, or whole frames through a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.session import Session
from photofinish.client.triton.tensors import DTYPES, write_input
from photofinish.frame import Frame
from photofinish.perf.load.loops import Sender


class FramePipeline(Protocol):
    """What both pipelines offer: one frame in the caller's thread."""

    def process(self, frame: Frame) -> FrameResult:
        """The result of one frame."""


def inputs_from_frames(model: ServedModel, frames: Sequence[Frame]) -> list[npt.NDArray[Any]]:
    """The frames as the model's input wants them, without the batch dimension."""
    card = model.require_card()
    prepared = []
    for frame in frames:
        pixels = np.empty(model.input_dims(), dtype=DTYPES[model.inputs[0].datatype])
        write_input(frame.image_hwc_bgr, card.contract, card.input_wh, pixels)
        prepared.append(pixels)
    return prepared


@contextmanager
def request_sender(session: Session, inputs: Sequence[npt.NDArray[Any]], slots: int) -> Iterator[Sender]:
    """Sends prepared tensors. Every slot is filled once, ahead of time, as perf_analyzer does it."""
    held = [session.acquire() for _ in range(slots)]
    for position, slot in enumerate(held):
        for row in range(session.batch_size):
            slot.input_array[row] = inputs[(position + row) % len(inputs)]
    for slot in held:
        session.release(slot)

    def send(index: int) -> None:
        slot = session.acquire()
        try:
            session.infer(slot)
        finally:
            session.release(slot)

    yield send


def frame_sender(
    pipeline: FramePipeline, frames: Sequence[Frame], on_result: Callable[[FrameResult], None] = lambda result: None
) -> Sender:
    """Sends whole frames, in turn: letterbox, wire and decoding are inside."""

    def send(index: int) -> None:
        on_result(pipeline.process(frames[index % len(frames)]))

    return send
