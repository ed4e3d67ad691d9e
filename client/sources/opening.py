"""A source of frames from what a user types."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote

import av

from photofinish.address.credentials import require_unambiguous
from photofinish.address.hiding import NETWORK_SCHEMES, is_network_address, looks_like_address, public_address
from photofinish.client.sources.decoding import Decoder
from photofinish.client.sources.live import CameraSource, camera_index, cameras_present
from photofinish.client.sources.pictures import PICTURE_SUFFIXES, PictureSource
from photofinish.client.sources.recordings import VideoSource
from photofinish.client.sources.source import Source
from photofinish.client.sources.streams import RECONNECT_DELAYS_S, StreamSource, is_recording, open_network_decoder
from photofinish.client.sources.synthetic import is_synthetic, synthetic_from_spec
from photofinish.client.sources.wholeness import missing_part
from photofinish.errors import SourceError
from photofinish.pictures import image_paths

__all__ = ["Source", "is_present", "open_source"]

_log = logging.getLogger(__name__)
_FILE_SCHEME = "file://"


def open_source(
    spec: str,
    *,
    loop: bool = False,
    paced: bool = False,
    strict: bool = False,
    every: int = 1,
    on_notice: Callable[[str], None] = _log.warning,
) -> Source:
    """The source that `spec` names, already open.

    A picture, a folder of pictures, a video file, a camera index (`0`, `/dev/video0`, `/dev/v4l/by-id/…`), a stream
    (`rtsp://…`), a recording on the web, or `synthetic[?seed=1&width=1280&height=720&fps=30]`. loop repeats recordings;
    paced plays them and the synthetic camera at their own times, skipping what nobody fetches in time. strict ends with
    the first picture of a folder that cannot be read; without it such pictures are told and left out. every: of a
    folder only each so many-th picture is read; frames of other sources are passed over by whoever takes them.
    on_notice hears of pictures that were left out, and of reconnections. Raises SourceError saying what is wrong.
    """
    if not spec.strip():
        raise SourceError(
            "no source is named; give a picture, a folder, a video, a camera index, rtsp://… or `synthetic`"
        )
    if is_synthetic(spec):
        return synthetic_from_spec(spec, paced=paced)
    if is_network_address(spec):
        require_unambiguous(spec)
        return _network_source(spec, loop=loop, paced=paced, on_notice=on_notice)
    if (index := camera_index(spec)) is not None:
        return CameraSource(index, f"camera {index}")
    path = _path_of(spec)
    if not is_present(str(path)):
        raise SourceError(_why_not_present(spec))
    if path.is_dir():
        return PictureSource(
            path.name or str(path),
            _pictures_of(path)[::every],
            loop=loop,
            paced=paced,
            strict=strict,
            on_notice=on_notice,
        )
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource(path.name, (path,), loop=loop, paced=paced)
    return VideoSource(path.name, lambda: _file_decoder(path), path=path, loop=loop, paced=paced, on_notice=on_notice)


def _pictures_of(folder: Path) -> tuple[Path, ...]:
    try:
        return image_paths(folder, PICTURE_SUFFIXES)
    except SourceError as exc:
        if video := _first_video(folder):
            raise SourceError(f"{folder} holds no pictures, but videos; give one of them, such as {video}") from exc
        raise


def _first_video(folder: Path) -> Path | None:
    with suppress(OSError):
        return min((path for path in folder.iterdir() if _is_called_video(path)), default=None)
    return None


def _is_called_video(path: Path) -> bool:
    return (guess_type(path.name)[0] or "").startswith("video/")


def local_path(spec: str) -> Path | None:
    """The file or folder that `spec` names and that is there; None for every other source."""
    if is_synthetic(spec) or is_network_address(spec) or camera_index(spec) is not None:
        return None
    path = _path_of(spec)
    return path if spec.strip() and is_present(str(path)) else None


def _path_of(spec: str) -> Path:
    return Path(unquote(spec.removeprefix(_FILE_SCHEME), errors="surrogateescape") if _is_file_url(spec) else spec)


def is_present(spec: str) -> bool:
    """Whether a file or folder of that name can be seen; False also for names that none can have."""
    try:
        return Path(spec).exists()
    except (OSError, ValueError):  # too long, in a folder that this user may not enter, or with a zero in it
        return False


def _is_file_url(spec: str) -> bool:
    return spec.startswith(_FILE_SCHEME + "/") and not is_present(spec)


def _file_decoder(path: Path) -> Decoder:
    """A decoder on a file, whatever its name is: `file:` keeps FFmpeg from reading a colon in it as an address."""
    try:
        return Decoder(f"file:{path}", str(path))
    except OSError as exc:
        if isinstance(exc, PermissionError | IsADirectoryError | FileNotFoundError):
            raise SourceError(f"{path} cannot be read: {exc.strerror}") from exc
        raise SourceError(_why_no_video(path)) from exc
    except (av.FFmpegError, ValueError) as exc:
        raise SourceError(_why_no_video(path)) from exc


def _why_no_video(path: Path) -> str:
    missing = missing_part(path)
    reason = f"it is cut short, {missing}" if missing else "it is damaged, cut short, or not a video"
    return f"{path} cannot be opened as a video: {reason}"


def _network_source(url: str, *, loop: bool, paced: bool, on_notice: Callable[[str], None]) -> Source:
    name = public_address(url)
    decoder = open_network_decoder(url)
    if url.lower().startswith("http") and is_recording(decoder):
        decoder.close()
        return VideoSource(name, lambda: open_network_decoder(url), loop=loop, paced=paced, on_notice=on_notice)
    return StreamSource(url, name, decoder=decoder, reconnect_delays_s=RECONNECT_DELAYS_S, on_notice=on_notice)


def _why_not_present(spec: str) -> str:
    shown = public_address(spec)[:200]
    if spec.startswith("/dev/"):
        return f"{shown} does not exist; cameras found: {cameras_present()}"
    if looks_like_address(spec):
        return f"{shown} does not exist as a file, and an address begins with one of {'://, '.join(NETWORK_SCHEMES)}://"
    return (
        f"{shown} does not exist, or this user may not look at it; give a picture, a folder, a video, a camera index, "
        "rtsp://… or `synthetic`"
    )
