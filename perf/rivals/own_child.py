"""One of our own client's pipelines in a process of its own, as those it is set against are.

    python -m photofinish.perf.rivals.own_child JOB

JOB is JSON: `pipeline`, `url`, `http_url`, `model`, `transport`, `frames` (a .npy file), `keeps_memory`.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
from photofinish.client.triton.transport import choice_from_text
from photofinish.detections import PARTNER_CONFIDENCE, SHOWN_CONFIDENCE
from photofinish.frame import Frame
from photofinish.machine.turns import Rows, answers_to_parent, frames_from_job, keep_freed_memory, take_turns


def main() -> None:
    """Open the pipeline, then measure whenever it is this process's turn."""
    job = json.loads(sys.argv[1])
    with answers_to_parent() as answers:
        if job["keeps_memory"]:
            keep_freed_memory()
        with opened_pipeline(job) as pipeline:
            numbers = itertools.count()

            def process(image_hwc_bgr: npt.NDArray[np.uint8]) -> Rows:
                frame = Frame(
                    image_hwc_bgr=image_hwc_bgr,
                    stream_id="rivals",
                    index=next(numbers),
                    captured_ns=time.perf_counter_ns(),
                )
                found = pipeline.process(frame).detections
                return np.column_stack([found.boxes_xyxy, found.confidence, found.class_id.astype(np.float32)])

            def look(image_hwc_bgr: npt.NDArray[np.uint8]) -> Rows:
                pipeline.min_confidence = PARTNER_CONFIDENCE
                try:
                    return process(image_hwc_bgr)
                finally:
                    pipeline.min_confidence = SHOWN_CONFIDENCE

            about = {"transport": str(pipeline.transport)}
            take_turns(answers, process, frames_from_job(job), look=look, about=about)


def opened_pipeline(job: dict[str, Any]) -> BaselinePipeline | OptimisedPipeline:
    """The pipeline that the job asks for."""
    if job["pipeline"] == "baseline":
        return BaselinePipeline(job["url"], job["model"])
    return OptimisedPipeline(
        job["url"],
        job["model"],
        http_url=job["http_url"],
        transport=choice_from_text(job["transport"]),
        max_in_flight=1,
    )


if __name__ == "__main__":
    main()
