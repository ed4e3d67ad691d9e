"""What saved files are called, so that none that is there already is written over."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from photofinish.client.sources.pictures import PictureSource
from photofinish.client.sources.source import Source
from photofinish.errors import ConfigError
from photofinish.machine.disk import why_not_written

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".dv", ".flv", ".gif", ".h264", ".hevc"),
    *(".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
SAVED_SUFFIXES = (".avif", ".bmp", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Pictures are saved in their own format where OpenCV writes it in colour, else as JPEG."""
ELSEWHERE = "give another --save folder"
MAX_STEM_BYTES = 120
"""File systems take 255 bytes; a number and a suffix must fit too."""


def file_stem(name: str) -> str:
    """A file name without suffix from any source's name: `rtsp://host/cam 1` becomes `rtsp_host_cam_1`."""
    path = Path(name)
    stem = path.stem if path.suffix.lower() in VIDEO_SUFFIXES else name
    clean = re.sub(r"[^\w.-]+", "_", stem).strip("_.")
    return clean.encode()[:MAX_STEM_BYTES].decode(errors="ignore") or "video"


def picture_name_to_save(original: Path) -> str:
    """The name of the annotated copy of a picture."""
    return original.name if original.suffix.lower() in SAVED_SUFFIXES else f"{original.stem}.jpg"


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; ConfigError when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(why_not_written(folder, exc, ELSEWHERE)) from exc


def claim(path: Path, on_notice: Callable[[str], None]) -> Path:
    """A new empty file for the caller alone: `path`, or with a number behind its stem where that is taken, and told."""
    for number in itertools.count(2):
        try:
            path.open("xb").close()
        except FileExistsError:
            taken = path
            path = path.with_name(f"{_without_number(path.stem, number - 1)}-{number}{path.suffix}")
            if number == 2:
                on_notice(f"{taken} is there already and stays; saving beside it")
        except OSError as exc:
            raise ConfigError(why_not_written(path, exc, ELSEWHERE)) from exc
        else:
            return path
    raise AssertionError("unreachable")


def folder_for(
    source: Source,
    folder: Path,
    on_notice: Callable[[str], None],
    *,
    beside: Callable[[Path], Sequence[str]] = lambda path: (),
) -> Path:
    """Where a source's files go: `folder`, or one of its own in it where pictures of these names are there already.

    beside: names below the folder of what else is written for a picture. Raises ConfigError where that would write
    over an original.
    """
    make_folder(folder)
    if not isinstance(source, PictureSource):
        return folder
    targets = [folder / picture_name_to_save(path) for path in source.paths]
    _require_no_original(targets, source.paths)
    names = (name for path in source.paths for name in beside(path))
    if len(targets) == 1 or not any(target.exists() for target in (*targets, *(folder / name for name in names))):
        return folder
    own = folder / file_stem(source.name)
    for number in itertools.count(2):
        try:
            own.mkdir()
            break
        except FileExistsError:
            own = folder / f"{file_stem(source.name)}-{number}"
        except OSError as exc:
            raise ConfigError(why_not_written(own, exc, ELSEWHERE)) from exc
    on_notice(f"{folder} has pictures of these names already, and they stay; saving to {own}")
    return own


def _require_no_original(targets: Sequence[Path], originals: Sequence[Path]) -> None:
    resolved = {path.resolve() for path in originals}
    for target in targets:
        if target.resolve() in resolved:
            raise ConfigError(f"saving to {target} would write over the original; give another --save folder")


def _without_number(stem: str, number: int) -> str:
    return stem.removesuffix(f"-{number}") if number > 1 else stem
