"""A source of frames from what a user types."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from photofinish.address.credentials import require_unambiguous
from photofinish.address.hiding import (
    NETWORK_SCHEMES,
    is_network_address,
    looks_like_address,
    public_address,
)
from photofinish.client.sources.live import camera_source, stream_source
from photofinish.client.sources.recordings import PictureSource, VideoSource
from photofinish.client.sources.source import Source
from photofinish.client.sources.synthetic import synthetic_from_spec
from photofinish.errors import SourceError
from photofinish.pictures import IMAGE_SUFFIXES, image_paths

__all__ = ["Source", "is_present", "open_source"]


def open_source(
    spec: str, *, loop: bool = False, paced: bool = False, on_notice: Callable[[str], None] = lambda text: None
) -> Source:
    """The source that `spec` names, already open.

    A picture, a folder of pictures, a video file, a camera index (`0`, `/dev/video0`), a stream (`rtsp://…`) or
    `synthetic[?seed=1&width=1280&height=720&fps=30]`. loop repeats recordings; paced plays them and the synthetic
    camera at their own rate, skipping what nobody fetches in time. on_notice hears of reconnections.
    Raises SourceError saying what is wrong with it.
    """
    if not spec.strip():
        raise SourceError(
            "no source is named; give a picture, a folder, a video, a camera index, rtsp://… or `synthetic`"
        )
    if spec == "synthetic" or spec.startswith("synthetic?"):
        return synthetic_from_spec(spec, paced=paced)
    if is_network_address(spec):
        require_unambiguous(spec)
        return stream_source(spec, loop=loop, on_notice=on_notice)
    if camera := re.fullmatch(r"(?:/dev/video)?(\d{1,3})", spec):
        return camera_source(int(camera[1]), on_notice=on_notice)
    path = Path(spec)
    if not is_present(spec):
        raise SourceError(_why_not_present(spec))
    if path.is_dir():
        return PictureSource(path.name or str(path), image_paths(path), loop=loop, paced=paced)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return PictureSource(path.name, (path,), loop=loop, paced=paced)
    return VideoSource(path, loop=loop, paced=paced)


def is_present(spec: str) -> bool:
    """Whether a file or folder of that name can be seen; False also for names that none can have."""
    try:
        return Path(spec).exists()
    except OSError:  # too long, or in a folder that this user may not enter
        return False


def _why_not_present(spec: str) -> str:
    shown = public_address(spec)[:200]
    if looks_like_address(spec):
        return f"{shown} does not exist as a file, and an address begins with one of {'://, '.join(NETWORK_SCHEMES)}://"
    return (
        f"{shown} does not exist, or this user may not look at it; give a picture, a folder, a video, a camera index, "
        "rtsp://… or `synthetic`"
    )
