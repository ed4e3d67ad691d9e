"""What a folder consists of: its pictures, and each of its videos as a source of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from photofinish.client.detect.naming import VIDEO_SUFFIXES
from photofinish.client.sources.opening import Source, local_path, open_source
from photofinish.client.sources.pictures import PICTURE_SUFFIXES, PictureSource
from photofinish.errors import SourceError
from photofinish.pictures import is_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """One source of several. frame_count: how many frames to look at, an estimate; None where nobody can know."""

    spec: str
    frame_count: int | None
    size_wh: tuple[int, int] | None


def specs_in(source: str) -> tuple[str, ...]:
    """The sources that a folder with videos holds, its pictures first, then the videos by name; else the source itself.

    Folders below are not looked into, and hidden files are left out, as for pictures.
    """
    folder = local_path(source)
    try:
        if folder is None or not folder.is_dir():
            return (source,)
        names = sorted(path.name for path in folder.iterdir() if is_video(path) and path.is_file())
        has_pictures = any(is_picture(path, PICTURE_SUFFIXES) for path in folder.iterdir())
    except (OSError, ValueError):  # whoever opens it says why
        return (source,)
    # Not joined as paths: `./synthetic.mp4` in this folder must stay a path.
    videos = tuple(f"{folder}/{name}" for name in names)
    return (source, *videos) if has_pictures or not videos else videos


def is_video(path: Path) -> bool:
    """Whether a file's name says that it is a video; hidden files are none."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def frames_to_look_at(source: Source, every: int, limit: int | None = None) -> int | None:
    """For the progress bar; None for an endless source. Of a folder those that are passed over are not counted."""
    count = source.frame_count
    if count is None:
        return limit
    if not isinstance(source, PictureSource):
        count = -(-count // every)
    return count if limit is None else min(limit, count)


def looked_over(
    specs: tuple[str, ...], *, every: int, strict: bool, on_bad: Callable[[SourceError], None]
) -> list[SourcePart]:
    """The parts that can be opened, each opened once and closed again; on_bad hears of the others.

    Raises SourceError for the first bad one when `strict`, and where none can be opened.
    """
    parts = []
    for spec in specs:
        try:
            with open_source(spec, strict=strict, every=every, on_notice=lambda text: None) as source:
                count = frames_to_look_at(source, every)
                parts.append(SourcePart(spec=spec, frame_count=count, size_wh=source.size_wh))
        except SourceError as exc:
            if strict:
                raise
            on_bad(exc)
    if not parts:
        raise SourceError(f"none of the {len(specs)} videos can be opened; the lines above say why")
    return parts
