"""Two pipelines on the same frames, in turn: the table that `photofinish demo --headless` prints."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.frame import Frame
from photofinish.machine.gpu import load_nvml
from photofinish.perf.measure.comparison import Contender, Progress, Stages, run_comparison
from photofinish.perf.record.record import MIN_ROUNDS, Arm, Load, Section
from photofinish.perf.record.samples import NS_PER_S, Samples
from photofinish.perf.watch.watcher import Watcher

_WARM_UP_FRAMES = 8


class RunningPipeline(Protocol):
    """What both pipelines offer: results for frames, in order."""

    def run(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        """One result per frame."""


def compare_pipelines(
    baseline: RunningPipeline,
    optimised: RunningPipeline,
    frames: Sequence[Frame],
    *,
    seconds: float = 20.0,
    labels: tuple[str, str] = ("baseline", "optimised"),
    transports: tuple[str, str] = ("", ""),
    models: tuple[str, str] = ("", ""),
    metrics_url: str | None = None,
    server_pid: int | None = None,
    on_progress: Progress = lambda line: None,
) -> Section:
    """Both sides flat out on `frames`, cycled, in at least five alternating blocks each; `seconds` in all.

    Latency is the pipeline's own, from taking a frame up to its detections: nothing waits when frames never run out.
    """
    rounds = max(MIN_ROUNDS, int(seconds / 2))
    load = Load(mode="pipeline", block_s=seconds / (2 * rounds), rounds=rounds)
    sides = zip(("baseline", "optimised"), (baseline, optimised), labels, transports, models, strict=True)
    contenders = [
        pipeline_contender(Arm(key=key, label=label, model=model, role=key, transport=transport), pipeline, frames)
        for key, pipeline, label, transport, model in sides
    ]
    watcher = Watcher(metrics_url=metrics_url or "", server_pid=server_pid or 0, nvml=load_nvml())
    return run_comparison(contenders, load=load, name="pipelines", watcher=watcher, on_progress=on_progress)


def pipeline_contender(arm: Arm, pipeline: RunningPipeline, frames: Sequence[Frame]) -> Contender:
    """A contender whose blocks run a whole pipeline: reader, requests in flight, decoding."""
    stages: Stages = {"prepare": [], "wire": [], "decode": []}

    def run_block(seconds: float, seed: int) -> Samples:
        results: list[FrameResult] = []
        begin_ns = time.perf_counter_ns()
        for result in pipeline.run(_frames_until(frames, begin_ns + int(seconds * NS_PER_S))):
            results.append(result)
            stages["prepare"].append(result.prepare_ns)
            stages["wire"].append(result.wire_ns)
            stages["decode"].append(result.decode_ns)
        begun = tuple(result.begun_ns - begin_ns for result in results)
        done = tuple(result.finished_ns - begin_ns for result in results)
        return Samples(scheduled_ns=begun, sent_ns=begun, done_ns=done, window_ns=max(done, default=0))

    def warm_up() -> None:
        for _ in pipeline.run(_stamped(itertools.islice(itertools.cycle(frames), _WARM_UP_FRAMES))):
            pass

    return Contender(arm=arm, run_block=run_block, warm_up=warm_up, stages=stages)


def _frames_until(
    frames: Sequence[Frame], deadline_ns: int, clock: Callable[[], int] = time.perf_counter_ns
) -> Iterator[Frame]:
    for frame in _stamped(itertools.cycle(frames)):
        if clock() >= deadline_ns:
            return
        yield frame


def _stamped(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames as a source would give them: numbered without gaps, captured now."""
    for index, frame in enumerate(frames):
        yield replace(frame, index=index, captured_ns=time.perf_counter_ns())
