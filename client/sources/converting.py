"""Decoded frames of any pixel format as arrays, blue first."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation, VideoReformatter

_PLAIN_FORMATS = ("yuv420p", "yuvj420p")
"""What nearly every video is in. The filter below converts these exactly as the scaler does."""
_TICK = Fraction(1, 1_000_000)
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


class BgrConverter:
    """Makes the frames of one video into arrays (height, width, 3) uint8.

    The scaler takes new memory for every frame, which the kernel fills page by page: 1 ms of processor time for 720p.
    FFmpeg's filters take theirs from a pool, which a frame's memory goes back to when its array is gone.
    """

    def __init__(self, threads: int = 2) -> None:
        """threads: for one picture, at most as many as there are cores. Many converters of one process take 1 each."""
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._graph: Graph | None = None
        self._graph_key: tuple[Any, ...] | None = None

    def image_from_frame(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """The pixels, turned as the frame says. Raises av.FFmpegError and ValueError for what cannot be converted."""
        # Some values of these two make the scaler refuse; it must not convert between them anyway.
        frame.color_trc, frame.color_primaries = ColorTrc.UNSPECIFIED, ColorPrimaries.UNSPECIFIED
        if frame.format.name in _PLAIN_FORMATS and not frame.interlaced_frame:
            bgr = self._pooled(frame)
        else:
            bgr = self._reformatter.reformat(frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1)
        image: npt.NDArray[Any] = np.ascontiguousarray(bgr.to_ndarray())
        turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
        return np.asarray(image if turn is None else cv2.rotate(image, turn), dtype=np.uint8)

    def _pooled(self, frame: VideoFrame) -> VideoFrame:
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if self._graph is None or key != self._graph_key:
            self._graph, self._graph_key = _graph_for(frame, self._threads), key
        self._graph.push(frame)
        bgr = self._graph.pull()
        if not isinstance(bgr, VideoFrame):
            raise ValueError("the filter gave no picture")
        return bgr


def _graph_for(frame: VideoFrame, threads: int) -> Graph:
    """Pictures of this size and format in, BGR out."""
    graph = Graph()
    graph.threads = min(threads, len(os.sched_getaffinity(0)))
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_TICK)
    graph.link_nodes(
        source, graph.add("scale", "flags=bicubic"), graph.add("format", "bgr24"), graph.add("buffersink")
    ).configure()
    return graph
