"""Detection over a whole source: lines for a terminal or a program, annotated copies on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from photofinish.client.detect.keeping import Keeper
from photofinish.client.detect.telling import picture_name
from photofinish.client.pipeline.frame_result import DropCause, FrameResult
from photofinish.client.pipeline.opening import Pipeline
from photofinish.client.pipeline.part import PartCount
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.source import Source
from photofinish.errors import ConfigError, InferenceError
from photofinish.frame import Frame
from photofinish.names import counted
from photofinish.percentiles import DurationHistogram

DROP_WORDS: Mapping[DropCause, str] = {
    "late": "late",
    "error": "failed",
    "stopped": "in work at the end",
    "turn": "out of turn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSummary:
    """Figures of one of several models over a run. p50_ns: from sending its request to its boxes, where it answered.

    problem: why it gave no answer the first time, "" where it always did. is_beside: others saw the whole picture too.
    frames_with_crops: of a model that looks at the first one's boxes, the frames in which there were some; None for
    others.
    """

    name: str
    box_count: int
    p50_ns: int
    counts: PartCount
    problem: str = ""
    is_beside: bool = True
    frames_with_crops: int | None = None

    def sentence(self) -> str:
        """The figures for a reader."""
        counts = self.counts
        text = f"{self.name}: {self.box_count} boxes"
        if self.frames_with_crops is not None:
            text += f" in {counts.crops} crops of {self.frames_with_crops} frames"
        if counts.answered and self.p50_ns:
            text += f", P50 {self.p50_ns / 1e6:.3g} ms"
        if self.is_beside:
            text += f", came last in {counts.last}"
        for count, word in (
            (counts.too_small, "too small"),
            (counts.over_limit, "over the limit"),
            (counts.late, "no answer in time"),
            (counts.failed, "failed"),
        ):
            text += f", {count} {word}" if count else ""
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSummary:
    """Figures of one run over a source, also of one that was cut short. saved_to: what was written, or None.

    drops: frames that were due and not inferred, by cause. Both P50 are those of a DurationHistogram.
    p50_service_ns: from taking a frame up to its boxes, None for several sources together. p50_latency_ns: from its
    capture, for live sources only; frames of a recording are read ahead, so that their wait says nothing. skipped:
    pictures that could not be read. parts: of several models, each one's own figures. p50_crops_ns: of a frame's time
    what models took that look at the first one's boxes, None where none does.
    """

    frame_count: int
    box_count: int
    seconds: float
    p50_service_ns: int | None
    p50_latency_ns: int | None
    drops: Mapping[DropCause, int]
    saved_to: Path | None
    skipped: int = 0
    parts: tuple[PartSummary, ...] = ()
    p50_crops_ns: int | None = None

    @property
    def dropped(self) -> int:
        """Frames that were due and not inferred, all causes."""
        return sum(self.drops.values())

    def sentence(self) -> str:
        """The figures for a reader."""
        boxes = "1 box" if self.box_count == 1 else f"{self.box_count} boxes"
        text = f"{counted(self.frame_count, 'frame')}, {boxes} in {self.seconds:.3g} s"
        if self.frame_count:
            text += f", {self.frame_count / self.seconds:.3g} frames/s"
        if self.frame_count and self.p50_service_ns is not None:
            text += f", P50 {self.p50_service_ns / 1e6:.3g} ms a frame"
        if self.frame_count and self.p50_crops_ns is not None:
            text += f", P50 {self.p50_crops_ns / 1e6:.3g} ms of it for crops"
        if self.frame_count and self.p50_latency_ns is not None:
            text += f", P50 latency {self.p50_latency_ns / 1e6:.3g} ms"
        if self.dropped:
            causes = (f"{count} {DROP_WORDS[cause]}" for cause, count in self.drops.items() if count)
            text += f", {self.dropped} dropped ({', '.join(causes)})"
        if self.skipped:
            text += f", {counted(self.skipped, 'picture')} skipped"
        text += "".join(f"; {part.sentence()}" for part in self.parts)
        return text + (f"; saved to {self.saved_to}" if self.saved_to else "")

    def require_all_answered(self) -> None:
        """Raise InferenceError when one of several models left frames without an answer."""
        missing = [part for part in self.parts if part.counts.missing]
        if missing:
            raise InferenceError(
                "; ".join(
                    f"{part.name} gave no answer in {part.counts.missing} of {self.frame_count} frames, "
                    f"at first because {part.problem}"
                    for part in missing
                )
            )


def summary_of_all(summaries: Sequence[DetectSummary], saved_to: Path | None) -> DetectSummary:
    """Several sources that were looked at one after the other, as one."""
    drops: Counter[DropCause] = Counter()
    for summary in summaries:
        drops.update(summary.drops)
    return DetectSummary(
        frame_count=sum(summary.frame_count for summary in summaries),
        box_count=sum(summary.box_count for summary in summaries),
        seconds=sum(summary.seconds for summary in summaries),
        p50_service_ns=None,
        p50_latency_ns=None,
        drops=drops,
        saved_to=saved_to if any(summary.saved_to for summary in summaries) else None,
        skipped=sum(summary.skipped for summary in summaries),
    )


def detect_in_source(
    source: Source,
    pipeline: Pipeline,
    *,
    save_folder: Path | None = None,
    with_text: bool = False,
    every: int = 1,
    frame_limit: int | None = None,
    on_result: Callable[[FrameResult, str], None] = lambda result, name: None,
    on_notice: Callable[[str], None] = lambda text: None,
    on_end: Callable[[DetectSummary], None] = lambda summary: None,
) -> DetectSummary:
    """Run the pipeline over the source, up to `frame_limit` frames; on_result gets each result and its picture's name.

    save_folder: pictures are saved under their own names, everything else as one MP4. Nothing that is there is written
    over; on_notice hears where a file gets another name. with_text: label files and JSON beside them, see Keeper.
    every: only each so many-th frame is looked at and saved; a folder of pictures is thinned by `open_source`.
    on_end: gets the summary however the run ends, by an error or Ctrl-C too; what was saved is complete by then.
    """
    latencies, services, second_looks = DurationHistogram(), DurationHistogram(), DurationHistogram()
    parts = _PartFigures(on_notice)
    box_count = 0
    begun = time.perf_counter()
    every = 1 if isinstance(source, PictureSource) else every
    frames = itertools.islice(thinned(source.frames(), every), frame_limit)
    keeper: Keeper | None = None
    try:
        with contextlib.ExitStack() as stack:
            if save_folder:
                names = pipeline.card.class_names
                keeper = Keeper(source, save_folder, names, stack, on_notice, with_text=with_text, every=every)
            for done in stack.enter_context(contextlib.closing(pipeline.run(frames))):
                result = in_source(done, every)
                latencies.add(result.latency_ns)
                services.add(result.service_ns)
                if result.has_crops:
                    second_looks.add(result.crops_ns)
                box_count += result.box_count
                parts.add(result)
                if keeper:
                    keeper.keep(result)
                on_result(result, picture_name(source, result.frame.index))
    except ConfigError:  # of saving; a video that cannot be finished is none
        if keeper and not isinstance(source, PictureSource):
            keeper.has_saved = False
        raise
    finally:
        summary = DetectSummary(
            frame_count=services.count,
            box_count=box_count,
            seconds=time.perf_counter() - begun,
            p50_service_ns=_median_ns(services),
            p50_latency_ns=_median_ns(latencies) if source.is_live else None,
            drops=pipeline.counts.dropped,
            saved_to=keeper.path if keeper and keeper.has_saved else None,
            skipped=len(source.skipped),
            parts=parts.summaries(pipeline.counts.parts),
            p50_crops_ns=_median_ns(second_looks) if second_looks.count else None,
        )
        on_end(summary)
    return summary


class _PartFigures:
    """Boxes and times of each of several models; on_notice hears of each one's first failure."""

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        self._on_notice = on_notice
        self._boxes: Counter[str] = Counter()
        self._times: dict[str, DurationHistogram] = {}
        self._problems: dict[str, str] = {}
        self._with_crops: Counter[str] = Counter()
        self._looks_at_crops: set[str] = set()

    def add(self, result: FrameResult) -> None:
        for part in result.parts:
            times = self._times.setdefault(part.name, DurationHistogram())
            self._boxes[part.name] += len(part.detections)
            if part.crops is not None:
                self._looks_at_crops.add(part.name)
                self._with_crops[part.name] += part.was_asked
            if not part.problem:
                if part.was_asked:
                    times.add(part.took_ns)
            elif part.name not in self._problems:
                self._problems[part.name] = part.problem
                self._on_notice(f"{part.name} gave no answer, the others' boxes stay: {part.problem}")

    def summaries(self, counts: Mapping[str, PartCount]) -> tuple[PartSummary, ...]:
        beside = len(self._times) - len(self._looks_at_crops) > 1
        return tuple(
            PartSummary(
                name=name,
                box_count=self._boxes[name],
                p50_ns=_median_ns(times),
                counts=counts[name],
                problem=self._problems.get(name, ""),
                is_beside=beside and name not in self._looks_at_crops,
                frames_with_crops=self._with_crops[name] if name in self._looks_at_crops else None,
            )
            for name, times in self._times.items()
        )


def _median_ns(durations: DurationHistogram) -> int:
    return durations.percentile_ns(0.5) if durations.count else 0


def thinned(frames: Iterator[Frame], every: int) -> Iterator[Frame]:
    """Each so many-th frame, numbered anew, so that a pipeline does not take those in between for lost ones.

    One of them that a live source skipped leaves a gap, as it should: it was due.
    """
    for frame in frames:
        if frame.index % every == 0:
            yield frame if every == 1 else dataclasses.replace(frame, index=frame.index // every)


def in_source(result: FrameResult, every: int) -> FrameResult:
    """The result with its frame numbered as in the source."""
    if every == 1:
        return result
    frame = dataclasses.replace(result.frame, index=result.frame.index * every)
    return dataclasses.replace(result, frame=frame)
