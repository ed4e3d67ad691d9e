"""Everything that our own reader does not do, read by FFmpeg: UDP, other codings, HTTP, files, USB cameras.

Each such camera has a thread, since the library blocks; one that hangs there keeps nobody but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from photofinish.address.hiding import is_network_address
from photofinish.client.cameras.ingest.figures import IngestError
from photofinish.client.cameras.ingest.rtsp_reader import StreamListener
from photofinish.client.cameras.rtsp.nal import h264_kind, hevc_kind, nal_units
from photofinish.client.cameras.values.access_unit import StreamInfo, sane_fps
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestProblem
from photofinish.client.sources.live import camera_index
from photofinish.errors import reason_from_error

TIMEOUT_S = 5.0
_TO_ANNEX_B = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
_KINDS = {"h264": h264_kind, "hevc": hevc_kind}


async def read_by_library(camera: Camera, listener: StreamListener, *, use_udp: bool) -> None:
    """Read until the source ends or fails, which raises IngestError. Leaving it early lets the thread run out."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    leaving = threading.Event()

    def post(call: Any, *args: Any, **named: Any) -> None:
        if not leaving.is_set():
            loop.call_soon_threadsafe(lambda: None if leaving.is_set() else call(*args, **named))

    def run() -> None:
        try:
            _read(camera, listener, post, leaving, use_udp=use_udp)
            failure = IngestError(IngestProblem.ENDED, "the source has ended")
        except IngestError as exc:
            failure = exc
        except Exception as exc:  # handed to the loop, which owns the thread
            failure = _error_from_library(exc, camera)
        post(lambda: None if ended.done() else ended.set_exception(failure))

    threading.Thread(target=run, name=f"camera-{camera.name}", daemon=True).start()
    try:
        await ended
    finally:
        leaving.set()


def _read(camera: Camera, listener: StreamListener, post: Any, leaving: threading.Event, *, use_udp: bool) -> None:
    is_live = is_network_address(camera.url) or camera_index(camera.url) is not None
    post(listener.on_line, f"> FFmpeg opens {camera.shown_url}{' by UDP' if use_udp else ''}")
    with _opened(camera, use_udp=use_udp) as container:
        if not container.streams.video:
            raise IngestError(IngestProblem.CODEC, "there is no video in it; check the address")
        stream = container.streams.video[0]
        context = stream.codec_context
        codec = str(context.codec.canonical_name)
        info = StreamInfo(
            codec=codec,
            extradata=bytes(context.extradata or b""),
            size_wh=(context.width, context.height) if context.width else None,
            pixel_format=context.pix_fmt or "",
            announced_fps=sane_fps(float(stream.average_rate or stream.guessed_rate or 0)),
        )
        post(listener.on_line, f"< {codec} {context.width} x {context.height}")
        post(listener.on_stream, info)
        while not leaving.is_set():
            count = _hand_over(container, stream, codec, listener, post, leaving, is_paced=not is_live)
            if is_live or not count or leaving.is_set():
                return
            with contextlib.suppress(av.FFmpegError):  # some files cannot go back, and have ended
                container.seek(0)


def _hand_over(
    container: InputContainer,
    stream: VideoStream,
    codec: str,
    listener: StreamListener,
    post: Any,
    leaving: threading.Event,
    *,
    is_paced: bool,
) -> int:
    """Every packet up to the end; a file's at its own times. How many there were."""
    count = 0
    begun_s = time.perf_counter()
    first_s: float | None = None
    kind = _KINDS.get(codec)
    for packet in _annex_b(container, stream, codec):
        if leaving.is_set():
            return count
        if not packet.size:
            continue
        if is_paced and packet.dts is not None and packet.time_base is not None:
            at_s = float(packet.dts * packet.time_base)
            first_s = at_s if first_s is None else first_s
            if leaving.wait(max(begun_s + at_s - first_s - time.perf_counter(), 0.0)):
                return count
        count += 1
        data = bytes(packet)
        now_ns = time.perf_counter_ns()
        post(
            listener.on_picture,
            data,
            captured_ns=now_ns,
            arrived_ns=now_ns,
            clock="arrival",
            is_keyframe=packet.is_keyframe,
            is_reference=kind is None
            or any(kind(unit).is_slice and kind(unit).is_reference for unit in nal_units(data)),
            is_after_loss=bool(packet.is_corrupt),
        )
    return count


def _annex_b(container: InputContainer, stream: VideoStream, codec: str) -> Iterator[Any]:
    """The packets, with start codes where a container has lengths instead."""
    extradata = stream.codec_context.extradata or b""
    if codec in _TO_ANNEX_B and extradata[:1] == b"\x01":
        rewrite = BitStreamFilterContext(_TO_ANNEX_B[codec], stream)
        for packet in container.demux(stream):
            yield from rewrite.filter(packet)
    else:
        yield from container.demux(stream)


def _opened(camera: Camera, *, use_udp: bool) -> InputContainer:
    index = camera_index(camera.url)
    if index is not None:
        return av.open(f"/dev/video{index}", format="video4linux2", options={"input_format": "mjpeg"})
    if not is_network_address(camera.url):
        return av.open(f"file:{camera.url.removeprefix('file://')}")
    options = {"fflags": "nobuffer", "analyzeduration": "1000000"}
    if camera.url.lower().startswith("rtsp"):
        options |= {"rtsp_transport": "udp" if use_udp else "tcp", "allowed_media_types": "video", "max_delay": "0"}
    return av.open(camera.address_with_secret, options=options, timeout=(TIMEOUT_S, TIMEOUT_S))


def _error_from_library(exc: Exception, camera: Camera) -> IngestError:
    """One of ours, without the address that the library's words may hold."""
    if isinstance(exc, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return IngestError(IngestProblem.AUTHENTICATION, "it refuses the user and password, or wants some; check both")
    if isinstance(exc, av.HTTPNotFoundError | FileNotFoundError):
        return IngestError(IngestProblem.NOT_FOUND, "there is nothing at this address; check its end")
    if isinstance(exc, ConnectionRefusedError):
        return IngestError(IngestProblem.REFUSED, "the connection is refused; is the camera on, and the port right?")
    if isinstance(exc, av.ExitError | TimeoutError):
        return IngestError(IngestProblem.TIMEOUT, f"nothing came within {TIMEOUT_S:g} s; is the camera on?")
    if isinstance(exc, av.InvalidDataError):
        return IngestError(IngestProblem.CODEC, "what is there is no video; check the address")
    reason = exc.strerror if isinstance(exc, av.FFmpegError | OSError) and exc.strerror else reason_from_error(exc)
    return IngestError(IngestProblem.PROTOCOL, f"FFmpeg cannot read it ({camera.without_secrets(reason)})")
