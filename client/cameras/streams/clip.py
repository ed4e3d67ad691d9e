"""A short encoded video, made into packets once, that test streams send again and again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from photofinish.client.cameras.rtsp.nal import h264_kind, hevc_kind, nal_units, rtp_payloads
from photofinish.client.sources.opening import open_source
from photofinish.errors import ConfigError, SourceError

ClipCodec = Literal["h264", "hevc"]
BIT_RATE = 500_000
"""Of a test stream, in bits a second."""
_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_OPTIONS = {
    "h264": {"preset": "ultrafast", "tune": "zerolatency"},
    "hevc": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none:repeat-headers=1"},
}


@dataclass(frozen=True, slots=True)
class ClipPicture:
    """The RTP payloads of one coded picture; the last of them carries the marker bit."""

    payloads: tuple[bytes, ...]
    is_keyframe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Pictures that begin with a keyframe, so that they can be repeated. parameter_sets: without start codes."""

    codec: ClipCodec
    size_wh: tuple[int, int]
    pictures: tuple[ClipPicture, ...]
    parameter_sets: tuple[bytes, ...]

    @property
    def encoding(self) -> str:
        """The codec's name in a description."""
        return "H264" if self.codec == "h264" else "H265"


def clip_from_images(
    images_hwc_bgr: Iterable[npt.NDArray[np.uint8]],
    *,
    codec: ClipCodec = "h264",
    frames_per_s: float = 5.0,
    keyframe_every: int = 10,
    bit_rate: int = BIT_RATE,
) -> Clip:
    """The pictures encoded without B frames. All have one size, with even sides. Raises SourceError for none."""
    encoder: VideoCodecContext | None = None
    packets = []
    size_wh = (0, 0)
    for number, image in enumerate(images_hwc_bgr):
        if encoder is None:
            size_wh = (image.shape[1], image.shape[0])
            encoder = _encoder(codec, size_wh, frames_per_s, keyframe_every, bit_rate)
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        frame.pts = number
        if number % keyframe_every == 0:
            frame.pict_type = PictureType.I
        packets += encoder.encode(frame)
    if encoder is None:
        raise SourceError("a test stream needs at least one picture, the source gives none")
    packets += encoder.encode(None)
    kind = h264_kind if codec == "h264" else hevc_kind
    pictures, sets = [], []
    for packet in packets:
        units = list(nal_units(bytes(packet)))
        sets += [unit for unit in units if kind(unit).is_parameter]
        pictures.append(
            ClipPicture(
                payloads=tuple(payload for unit in units for payload in rtp_payloads(unit, codec)),
                is_keyframe=any(kind(unit).is_key for unit in units),
            )
        )
    return Clip(codec=codec, size_wh=size_wh, pictures=tuple(pictures), parameter_sets=tuple(dict.fromkeys(sets)))


def _encoder(
    codec: ClipCodec, size_wh: tuple[int, int], frames_per_s: float, keyframe_every: int, bit_rate: int
) -> VideoCodecContext:
    encoder = cast(VideoCodecContext, VideoCodecContext.create(_ENCODERS[codec], "w"))
    encoder.width, encoder.height = size_wh
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(frames_per_s).limit_denominator(1000)
    encoder.time_base = 1 / encoder.framerate
    encoder.gop_size, encoder.max_b_frames, encoder.bit_rate = keyframe_every, 0, bit_rate
    encoder.thread_count = 1
    encoder.options = {**_OPTIONS[codec], "forced-idr": "1"}
    return encoder


def clip_from_source(
    spec: str,
    *,
    size_wh: tuple[int, int],
    frames_per_s: float,
    seconds: float = 8.0,
    skip_frames: int = 0,
    codec: ClipCodec = "h264",
) -> Clip:
    """The first seconds of a video, or of the synthetic camera, at this size and rate, as a clip."""
    count = max(round(seconds * frames_per_s), 1)
    with open_source(spec) as source:
        step = max(round((source.frames_per_s or frames_per_s) / frames_per_s), 1)
        chosen = islice(source.frames(), skip_frames, skip_frames + count * step, step)
        images = (_resized(frame.image_hwc_bgr, size_wh) for frame in chosen)
        return clip_from_images(
            images, codec=codec, frames_per_s=frames_per_s, keyframe_every=keyframe_every(frames_per_s)
        )


def keyframe_every(frames_per_s: float) -> int:
    """Pictures from one keyframe of a test stream to the next: two seconds of them."""
    return max(round(2 * frames_per_s), 1)


def synthetic_spec(seed: int, size_wh: tuple[int, int], frames_per_s: float) -> str:
    """The synthetic camera of this seed as a source."""
    return f"synthetic?seed={seed}&width={size_wh[0]}&height={size_wh[1]}&fps={frames_per_s:g}"


def is_video_file(spec: str) -> bool:
    """Whether the source is a file, of which several streams show different parts."""
    return Path(spec).is_file()


def _resized(image: npt.NDArray[np.uint8], size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if (image.shape[1], image.shape[0]) == size_wh:
        return image
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def size_from_text(text: str) -> tuple[int, int]:
    """Width and height from `640x360`. Raises ConfigError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()) or not all(
        64 <= int(side) <= 4096 and int(side) % 2 == 0 for side in (width, height)
    ):
        raise ConfigError(
            f"--stream-size must be width x height, both even and within 64..4096, such as 640x360; got {text!r}"
        )
    return int(width), int(height)
