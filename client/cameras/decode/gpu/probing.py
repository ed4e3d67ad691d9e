"""What a stream's first keyframe tells, asked of FFmpeg as the CPU path does: colours, size, and whether a GPU can."""

from __future__ import annotations

from typing import cast

import av
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from photofinish.client.cameras.decode.gpu.device import LackingError, StreamFacts
from photofinish.client.cameras.decode.nv12.job import Colours, Matrix
from photofinish.client.cameras.rtsp.nal import START_CODE, h264_kind, hevc_kind, nal_units
from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.errors import SourceError, reason_from_error

CODECS = ("h264", "hevc", "av1", "vp9")
"""What cameras send of that which NVDEC decodes; none decodes MJPEG."""
_FORMATS = {"yuv420p": False, "yuvj420p": True}
"""The pixel formats that the kernel reads, and whether their name alone says full range."""
_MATRICES: dict[int, Matrix] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}
"""By FFmpeg's numbers. 2, unspecified, is BT.601 to the CPU path too, whatever the size."""
_FULL_RANGE = 2
_HEAD_BYTES = 1024
"""Parameter sets lie before the picture."""
_KINDS = {"h264": h264_kind, "hevc": hevc_kind}


def parameter_sets(codec: str, data: bytes) -> tuple[bytes, ...]:
    """The parameter sets in front of a keyframe; none for codings that have no such units."""
    kind = _KINDS.get(codec)
    if kind is None:
        return ()
    return tuple(unit for unit in nal_units(data[:_HEAD_BYTES]) if kind(unit).is_parameter)


def with_parameter_sets(info: StreamInfo, data: bytes) -> bytes:
    """A keyframe with the sets that only the stream's description has: a GPU's decoder is told of nothing else."""
    if not info.extradata.startswith((START_CODE, START_CODE[1:])) or parameter_sets(info.codec, data):
        return data
    return info.extradata + data if parameter_sets(info.codec, info.extradata) else data


def facts_from_keyframe(info: StreamInfo, data: bytes) -> StreamFacts:
    """The stream's facts. Raises LackingError that says why a GPU is of no use, SourceError for a broken picture."""
    if info.codec not in CODECS:
        raise LackingError(f"GPUs decode no {info.codec or 'unnamed coding'}")
    context = cast(VideoCodecContext, VideoCodecContext.create(info.codec, "r"))
    if info.extradata:
        context.extradata = info.extradata
    context.thread_count = 1
    context.flags |= Flags.low_delay
    try:
        frames = context.decode(Packet(data)) or context.decode(None)
    except (av.FFmpegError, ValueError, MemoryError) as exc:
        raise SourceError(f"{info.codec} that cannot be decoded: {reason_from_error(exc)}") from None
    if not frames:
        raise SourceError(f"{info.codec} whose keyframe gives no picture")
    return _facts(info.codec, frames[0], is_reordered=bool(context.has_b_frames))


def _facts(codec: str, frame: VideoFrame, *, is_reordered: bool) -> StreamFacts:
    name = frame.format.name
    if name not in _FORMATS:
        raise LackingError(f"the GPU path takes 8 bits in 4:2:0, this is {name}")
    if frame.interlaced_frame:
        raise LackingError("its pictures are interlaced")
    if round(frame.rotation) % 360:
        raise LackingError("its pictures are turned")
    matrix = _MATRICES.get(int(frame.colorspace))
    if matrix is None:
        raise LackingError(f"its colours are coded by matrix {int(frame.colorspace)}, not by BT.601 or BT.709")
    is_full = _FORMATS[name] or int(frame.color_range) == _FULL_RANGE
    return StreamFacts(
        codec=codec,
        size_wh=(frame.width, frame.height),
        colours=Colours(matrix=matrix, is_full_range=is_full),
        is_reordered=is_reordered,
    )
