"""What a run leaves on disk: annotated pictures or a video, and beside them label files and JSON."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from photofinish.client.detect.drawing import draw_parts
from photofinish.client.detect.naming import ELSEWHERE, claim, file_stem, folder_for, make_folder, picture_name_to_save
from photofinish.client.detect.saving import Write, save_picture, video_writer
from photofinish.client.detect.telling import json_from_result, picture_name, yolo_from_detections
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.recordings import VideoSource
from photofinish.client.sources.source import Source
from photofinish.detections import Detections
from photofinish.errors import ConfigError
from photofinish.machine.disk import why_not_written

UNKNOWN_RATE_PER_S = 25.0
"""Rate of a saved video when the camera does not tell its own."""
LABELS, DOCUMENTS = "labels", "json"
"""Folders below the pictures, named as YOLO's tools name them."""


class Keeper:
    """Draws and saves; the video file is opened with the first frame's size and closed by `stack`.

    Of several models all are drawn; the first one's label files are in `labels`, another's in `labels-NAME`.
    with_text: a picture gets a label file in `labels` and a JSON file in `json`, both named after it; a video gets a
    label file a frame, `labels/clip_25.txt`, and one file of JSON lines beside it. every: as `detect_in_source` has it.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        class_names: tuple[str, ...],
        stack: contextlib.ExitStack,
        on_notice: Callable[[str], None],
        *,
        with_text: bool = False,
        every: int = 1,
    ) -> None:
        self._source = source
        self._class_names = class_names
        self._stack = stack
        self._on_notice = on_notice
        self._with_text = with_text
        self._every = every
        self._write: Write | None = None
        self._lines: TextIO | None = None
        self._folders: set[Path] = set()
        self.has_saved = False
        self._stems = Counter(path.stem for path in source.paths) if isinstance(source, PictureSource) else Counter()
        self.path = folder_for(source, folder, on_notice, beside=self._text_names if with_text else lambda path: ())
        if not isinstance(source, PictureSource):
            self.path /= f"{file_stem(source.name)}.mp4"
        if isinstance(source, VideoSource) and source.path and self.path.exists() and self.path.samefile(source.path):
            raise ConfigError(f"saving to {self.path} would write over the original; give another --save folder")

    def keep(self, result: FrameResult) -> None:
        """Draw and save one result. Raises ConfigError when it cannot be written."""
        naming = [number for number, part in enumerate(result.parts) if part.crops and part.crops.names_boxes]
        drawn = draw_parts(result.frame.image_hwc_bgr, _parts(result, self._class_names), labels_only=naming)
        if isinstance(self._source, PictureSource):
            original = self._source.path_of(result.frame.index)
            save_picture(drawn, claim(self.path / picture_name_to_save(original), self._on_notice))
            self.has_saved = True
            if self._with_text:
                _, document = self._text_names(original)
                self._save_labels(self.path, f"{self._stem(original)}.txt", result)
                self._save_text(self.path / document, self._json(result))
            return
        frame = result.frame
        rate = self._source.frames_per_s or UNKNOWN_RATE_PER_S
        if self._write is None:
            self.path = claim(self.path, self._on_notice)
            self._write = self._stack.enter_context(video_writer(self.path, frame.size_wh, rate / self._every))
        self._write(drawn, round(frame.index / rate * 1e9) if frame.presented_ns is None else frame.presented_ns)
        self.has_saved = True
        if self._with_text:
            self._save_labels(self.path.parent, f"{self.path.stem}_{frame.index}.txt", result)
            self._add_line(self._json(result))

    def _json(self, result: FrameResult) -> str:
        return json_from_result(result, picture_name(self._source, result.frame.index), self._class_names) + "\n"

    def _text_names(self, original: Path) -> tuple[str, str]:
        """Where label file and JSON of a picture go: its name without suffix, or with it where two share the rest."""
        name = self._stem(original)
        return f"{LABELS}/{name}.txt", f"{DOCUMENTS}/{name}.json"

    def _stem(self, original: Path) -> str:
        return original.name if self._stems[original.stem] > 1 else original.stem

    def _save_labels(self, folder: Path, name: str, result: FrameResult) -> None:
        """One label file; of several models one each, for their class numbers mean different things.

        A model that gave no answer gets none: an empty one would say that nothing is there.
        """
        for number, (detections, _) in enumerate(_parts(result, ())):
            if result.parts and result.parts[number].problem:
                continue
            below = f"{LABELS}-{file_stem(result.parts[number].name)}" if number else LABELS
            self._save_text(folder / below / name, yolo_from_detections(detections, result.frame.size_wh))

    def _save_text(self, path: Path, text: str) -> None:
        if path.parent not in self._folders:
            make_folder(path.parent)
            self._folders.add(path.parent)
        path = claim(path, self._on_notice)
        try:
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        except OSError as exc:
            with contextlib.suppress(OSError):
                path.unlink()  # half a file
            raise ConfigError(why_not_written(path, exc, ELSEWHERE)) from exc

    def _add_line(self, line: str) -> None:
        path = self.path.with_suffix(".jsonl")
        try:
            if self._lines is None:
                path = claim(path, self._on_notice)
                file = path.open("w", encoding="utf-8", errors="surrogateescape", buffering=1)
                self._lines = self._stack.enter_context(file)
            self._lines.write(line)
        except OSError as exc:
            raise ConfigError(why_not_written(path, exc, ELSEWHERE)) from exc


def _parts(result: FrameResult, class_names: tuple[str, ...]) -> list[tuple[Detections, tuple[str, ...]]]:
    """What each model found, with its class names; class_names: those of the only one."""
    if not result.parts:
        return [(result.detections, class_names)]
    return [(part.detections, part.class_names) for part in result.parts]
