"""Detection over a whole source: lines for a terminal or a program, annotated copies on disk."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from photofinish.client.detect.drawing import draw_detections
from photofinish.client.detect.naming import claim, file_stem, folder_for, picture_name_to_save
from photofinish.client.detect.saving import Write, save_picture, video_writer
from photofinish.client.pipeline.frame_result import DropCause, FrameResult
from photofinish.client.pipeline.opening import Pipeline
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.recordings import VideoSource
from photofinish.client.sources.source import Source
from photofinish.errors import ConfigError
from photofinish.percentiles import DurationHistogram

UNKNOWN_RATE_PER_S = 25.0
"""Rate of a saved video when the camera does not tell its own."""
DROP_WORDS: Mapping[DropCause, str] = {
    "late": "late",
    "error": "failed",
    "stopped": "in work at the end",
    "turn": "out of turn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSummary:
    """Figures of one run over a source, also of one that was cut short. saved_to: what was written, or None.

    drops: frames that were due and not inferred, by cause. Both P50 are those of a DurationHistogram.
    p50_service_ns: from taking a frame up to its boxes. p50_latency_ns: from its capture, for live sources only;
    frames of a recording are read ahead, so that their wait says nothing. skipped: pictures that could not be read.
    """

    frame_count: int
    box_count: int
    seconds: float
    p50_service_ns: int
    p50_latency_ns: int | None
    drops: Mapping[DropCause, int]
    saved_to: Path | None
    skipped: int = 0

    @property
    def dropped(self) -> int:
        """Frames that were due and not inferred, all causes."""
        return sum(self.drops.values())

    def sentence(self) -> str:
        """The figures for a reader."""
        text = f"{self.frame_count} frames, {self.box_count} boxes in {self.seconds:.3g} s"
        if self.frame_count:
            text += f", {self.frame_count / self.seconds:.3g} frames/s, P50 {self.p50_service_ns / 1e6:.3g} ms a frame"
        if self.frame_count and self.p50_latency_ns is not None:
            text += f", P50 latency {self.p50_latency_ns / 1e6:.3g} ms"
        if self.dropped:
            causes = (f"{count} {DROP_WORDS[cause]}" for cause, count in self.drops.items() if count)
            text += f", {self.dropped} dropped ({', '.join(causes)})"
        if self.skipped:
            text += f", {self.skipped} pictures skipped"
        return text + (f"; saved to {self.saved_to}" if self.saved_to else "")


def detect_in_source(
    source: Source,
    pipeline: Pipeline,
    *,
    save_folder: Path | None = None,
    frame_limit: int | None = None,
    on_result: Callable[[FrameResult, str], None] = lambda result, name: None,
    on_notice: Callable[[str], None] = lambda text: None,
    on_end: Callable[[DetectSummary], None] = lambda summary: None,
) -> DetectSummary:
    """Run the pipeline over the source, up to `frame_limit` frames; on_result gets each result and its picture's name.

    save_folder: pictures are saved under their own names, everything else as one MP4. Nothing that is there is written
    over; on_notice hears where a file gets another name. on_end: gets the summary however the run ends, by an error or
    Ctrl-C too; what was saved is complete by then.
    """
    latencies, services = DurationHistogram(), DurationHistogram()
    box_count = 0
    begun = time.perf_counter()
    frames = source.frames() if frame_limit is None else itertools.islice(source.frames(), frame_limit)
    keeper: _Keeper | None = None
    try:
        with contextlib.ExitStack() as stack:
            if save_folder:
                keeper = _Keeper(source, save_folder, pipeline.card.class_names, stack, on_notice)
            for result in stack.enter_context(contextlib.closing(pipeline.run(frames))):
                latencies.add(result.latency_ns)
                services.add(result.service_ns)
                box_count += len(result.detections)
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
        )
        on_end(summary)
    return summary


def _median_ns(durations: DurationHistogram) -> int:
    return durations.percentile_ns(0.5) if durations.count else 0


def picture_name(source: Source, index: int) -> str:
    """The file name of a picture, or the source's name and the frame's number."""
    if isinstance(source, PictureSource):
        return source.path_of(index).name
    return f"{source.name} #{index}"


def text_from_result(result: FrameResult, name: str, class_names: tuple[str, ...]) -> str:
    """One line for a reader: `bus.jpg: bus 0.93, person 0.92`."""
    found = result.detections
    parts = [
        f"{_class_name(class_names, class_id)} {confidence:.2f}"
        for class_id, confidence in zip(found.class_id, found.confidence, strict=True)
    ]
    return f"{name}: {', '.join(parts) or 'nothing found'}"


def json_from_result(result: FrameResult, name: str, class_names: tuple[str, ...], *, ascii_only: bool = False) -> str:
    """One JSON line for a program; boxes in pixels of the picture. ascii_only: other characters as JSON's escapes."""
    found = result.detections
    rows = zip(found.boxes_xyxy.tolist(), found.confidence.tolist(), found.class_id.tolist(), strict=True)
    document = {
        "picture": name,
        "stream_id": result.frame.stream_id,
        "index": result.frame.index,
        "size_wh": list(result.frame.size_wh),
        **({} if result.frame.presented_ns is None else {"presented_s": round(result.frame.presented_ns / 1e9, 6)}),
        "service_ms": round(result.service_ns / 1e6, 3),
        "detections": [
            {
                "box_xyxy": [round(side, 2) for side in box],
                "confidence": round(confidence, 4),
                "class_id": class_id,
                "class": _class_name(class_names, class_id),
            }
            for box, confidence, class_id in rows
        ],
    }
    return json.dumps(document, ensure_ascii=ascii_only)


def _class_name(class_names: tuple[str, ...], class_id: int) -> str:
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"


class _Keeper:
    """Draws and saves; the video file is opened with the first frame's size and closed by `stack`."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        class_names: tuple[str, ...],
        stack: contextlib.ExitStack,
        on_notice: Callable[[str], None],
    ) -> None:
        self._source = source
        self._class_names = class_names
        self._stack = stack
        self._on_notice = on_notice
        self._write: Write | None = None
        self.has_saved = False
        self.path = folder_for(source, folder, on_notice)
        if not isinstance(source, PictureSource):
            self.path /= f"{file_stem(source.name)}.mp4"
        if isinstance(source, VideoSource) and source.path and self.path.exists() and self.path.samefile(source.path):
            raise ConfigError(f"saving to {self.path} would write over the original; give another --save folder")

    def keep(self, result: FrameResult) -> None:
        frame = result.frame
        drawn = draw_detections(frame.image_hwc_bgr, result.detections, self._class_names)
        if isinstance(self._source, PictureSource):
            name = picture_name_to_save(self._source.path_of(frame.index))
            save_picture(drawn, claim(self.path / name, self._on_notice))
            self.has_saved = True
            return
        rate = self._source.frames_per_s or UNKNOWN_RATE_PER_S
        if self._write is None:
            self.path = claim(self.path, self._on_notice)
            self._write = self._stack.enter_context(video_writer(self.path, frame.size_wh, rate))
        self._write(drawn, round(frame.index / rate * 1e9) if frame.presented_ns is None else frame.presented_ns)
        self.has_saved = True
