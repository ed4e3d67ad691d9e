"""Contenders on a real server: the textbook pipeline, the optimised one, and batches of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.session import Session
from photofinish.client.triton.tensors import write_input
from photofinish.client.triton.transport import Transport, TransportChoice
from photofinish.frame import Frame
from photofinish.heads import detections_from_output
from photofinish.perf.load.loops import Sender
from photofinish.perf.load.senders import frame_sender
from photofinish.perf.measure.bench import Bench, arm_from_model
from photofinish.perf.measure.comparison import Contender, Stages, contender_from_sender
from photofinish.perf.record.record import Load

ClientKind = Literal["baseline", "optimised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How one arm is run: the model, which client pipeline, its transport, frames in flight, frames in a request.

    rung: of the ladder, "" elsewhere.
    """

    key: str
    model: ServedModel
    pipeline: ClientKind
    transport: TransportChoice = "auto"
    in_flight: int = 1
    batch_size: int = 1
    rung: str = ""


@contextmanager
def open_contender(bench: Bench, setup: Setup, load: Load) -> Iterator[Contender]:
    """The contender with its connections open."""
    stages: Stages = {"prepare": [], "wire": [], "decode": []}

    def keep_stages(result: FrameResult) -> None:
        stages["prepare"].append(result.prepare_ns)
        stages["wire"].append(result.wire_ns)
        stages["decode"].append(result.decode_ns)

    if setup.batch_size > 1:
        with Session(
            bench.url,
            setup.model,
            http_url=bench.http_url,
            transport=setup.transport,
            slots=setup.in_flight,
            batch_size=setup.batch_size,
            on_notice=bench.on_notice,
        ) as session:
            yield _contender(setup, session.transport, batch_sender(session, bench.frames), load, {})
    elif setup.pipeline == "baseline":
        with BaselinePipeline(bench.url, setup.model.name) as baseline:
            sender = frame_sender(baseline, bench.frames, keep_stages)
            yield _contender(setup, baseline.transport, sender, load, stages)
    else:
        with OptimisedPipeline(
            bench.url,
            setup.model.name,
            http_url=bench.http_url,
            transport=setup.transport,
            max_in_flight=setup.in_flight,
        ) as optimised:
            sender = frame_sender(optimised, bench.frames, keep_stages)
            yield _contender(setup, optimised.transport, sender, load, stages)


def batch_sender(session: Session, frames: Sequence[Frame]) -> Sender:
    """Sends whole batches: every picture is letterboxed into its row, and every row is decoded."""
    card = session.model.require_card()

    def send(index: int) -> None:
        chosen = [frames[(index * session.batch_size + row) % len(frames)] for row in range(session.batch_size)]
        slot = session.acquire()
        try:
            boxes = [
                write_input(frame.image_hwc_bgr, card.contract, card.input_wh, row)
                for frame, row in zip(chosen, slot.input_array, strict=True)
            ]
            outputs = session.infer(slot)
        finally:
            session.release(slot)
        for output, letterbox in zip(outputs, boxes, strict=True):
            detections_from_output(output, card, letterbox)

    return send


def _contender(setup: Setup, transport: Transport, sender: Sender, load: Load, stages: Stages) -> Contender:
    arm = arm_from_model(
        setup.model,
        key=setup.key,
        rung=setup.rung,
        transport=str(transport),
        concurrency=setup.in_flight,
        batch_size=setup.batch_size,
    )
    return contender_from_sender(arm, sender, load, stages=stages)
