"""Our own reader of H.264 and H.265 by RTSP over TCP: a picture is handed over with its last packet.

FFmpeg's demuxer needs the beginning of the next picture to end one, which makes every picture an interval older.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from photofinish.client.cameras.ingest.clock import CaptureClock
from photofinish.client.cameras.ingest.connection import MAX_REDIRECTS, RtspConnection, open_connection
from photofinish.client.cameras.ingest.figures import IngestError, UnsuitableError
from photofinish.client.cameras.ingest.retry import host_and_port
from photofinish.client.cameras.rtsp.assembly import PictureAssembler
from photofinish.client.cameras.rtsp.messages import RtspMessage
from photofinish.client.cameras.rtsp.rtp import (
    RtpError,
    is_goodbye,
    packet_from_bytes,
    receiver_report_bytes,
    sender_reports,
)
from photofinish.client.cameras.rtsp.sdp import NoVideoError, VideoTrack, control_url, session_url, video_track_from_sdp
from photofinish.client.cameras.values.access_unit import ClockKind, StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.status import IngestProblem

DEFAULT_SESSION_S = 60.0
MAX_MALFORMED = 500
"""Packets in a row that are none, until the connection is given up."""


class StreamListener(Protocol):
    """Who hears what a reader reads. Nothing of it may block; all of it is called in the loop's thread."""

    def on_line(self, line: str) -> None:
        """A line of the protocol, without secrets."""

    def on_stream(self, info: StreamInfo) -> None:
        """The camera plays this from now on."""

    def on_picture(
        self,
        data: bytes,
        *,
        captured_ns: int,
        arrived_ns: int,
        clock: ClockKind,
        is_keyframe: bool,
        is_reference: bool,
        is_after_loss: bool,
    ) -> None:
        """A coded picture."""

    def on_transport(self, lost_packets: int, offset_ms: float | None) -> None:
        """Packets lost on this connection so far, and the camera's clock less ours."""


async def read_rtsp(
    camera: Camera, listener: StreamListener, clock_ns: Callable[[], int] = time.perf_counter_ns
) -> None:
    """Read until the connection ends, which raises IngestError; UnsuitableError where FFmpeg should try.

    A camera may send us elsewhere; its user and password are for its own host, and not for a plain way of speaking
    where its own is encrypted.
    """
    url, redirects, own = camera.url, 0, {"user": camera.user, "password": camera.password}
    while True:
        address = host_and_port(url)
        if address is None:
            raise IngestError(IngestProblem.UNREACHABLE, "the address has no host that can be read; check it")
        login = own if _may_be_told(camera.url, url) else dict.fromkeys(own, "")
        reading = _TrackReading(login, listener, clock_ns)
        connection = await open_connection(url, address, reading.on_packet, listener.on_line)
        try:
            answer = await connection.request("DESCRIBE", url, {"Accept": "application/sdp"}, **login)
            if answer.status == 200:
                await reading.play(connection, url, answer)
            redirects += 1
            url = answer.header("location")
            if redirects > MAX_REDIRECTS or not url.lower().startswith(("rtsp://", "rtsps://")):
                raise IngestError(IngestProblem.PROTOCOL, "the camera sends us elsewhere, and there is nothing there")
        except IngestError as exc:
            if exc.problem is not IngestProblem.AUTHENTICATION or login == own:
                raise
            raise _wants_own_login(address[0]) from None
        finally:
            connection.abort()


async def require_own_host(camera: Camera, on_line: Callable[[str], None]) -> None:
    """Raise IngestError where the camera sends us to a host that must not hear its password, or does not answer.

    For FFmpeg, which tells it wherever it is sent to.
    """
    url = camera.url
    if not url.lower().startswith(("rtsp://", "rtsps://")) or not (camera.user or camera.password):
        return
    for _ in range(MAX_REDIRECTS + 1):
        if (address := host_and_port(url)) is None:
            raise IngestError(IngestProblem.UNREACHABLE, "the address has no host that can be read; check it")
        connection = await open_connection(url, address, lambda channel, data: None, on_line)
        try:
            answer = await connection.request(
                "DESCRIBE", url, {"Accept": "application/sdp"}, user=camera.user, password=camera.password
            )
        except IngestError as exc:
            if exc.problem is not IngestProblem.PROTOCOL:
                raise
            return  # no redirection; FFmpeg may understand the answer
        finally:
            connection.abort()
        if answer.status == 200:
            return
        url = answer.header("location")
        if not _may_be_told(camera.url, url):
            raise _wants_own_login(urlsplit(url).hostname or "another host")
    raise IngestError(IngestProblem.PROTOCOL, "the camera sends us elsewhere, and there is nothing there")


def _wants_own_login(host: str) -> IngestError:
    wants = f"the camera sends us to {host}, which wants a login of its own; put that address in the list"
    return IngestError(IngestProblem.AUTHENTICATION, wants)


def _may_be_told(own: str, other: str) -> bool:
    """Whether what is a secret at one address may be told at another."""
    here, there = urlsplit(own), urlsplit(other)
    return here.hostname == there.hostname and not (here.scheme == "rtsps" and there.scheme != "rtsps")


class _TrackReading:
    """What is known of one connection while it is read. login: user and password there."""

    def __init__(self, login: Mapping[str, str], listener: StreamListener, clock_ns: Callable[[], int]) -> None:
        self._login = login
        self._listener = listener
        self._clock_ns = clock_ns
        self._assembler: PictureAssembler | None = None
        self._clock: CaptureClock | None = None
        self._payload_type = -1
        self._channel = 0
        self._malformed = 0
        self._info: StreamInfo | None = None
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def play(self, connection: RtspConnection, url: str, description: RtspMessage) -> None:
        """Set the track up, play it and keep it alive. Ends with IngestError alone."""
        try:
            track = video_track_from_sdp(description.body.decode("utf-8", "replace"))
        except NoVideoError as exc:
            raise IngestError(IngestProblem.CODEC, f"{exc}; check the end of the address") from None
        if not track.codec:
            raise UnsuitableError(f"the camera sends {track.encoding or 'an unnamed coding'}")
        base = description.header("content-base") or description.header("content-location") or url
        if not base.lower().startswith(("rtsp://", "rtsps://")):
            base = url
        transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
        try:
            answer = await connection.request("SETUP", control_url(base, track), transport, **self._login)
        except IngestError as exc:
            if exc.problem is IngestProblem.PROTOCOL and "461" in str(exc):
                raise UnsuitableError("the camera refuses TCP", use_udp=True) from None
            raise
        timeout_s = self._use(connection, track, answer)
        self._info = StreamInfo(codec=track.codec, announced_fps=track.announced_fps)
        await connection.request("PLAY", session_url(base, track), {"Range": "npt=0.000-"}, **self._login)
        self._begin_stream()
        keeping = asyncio.ensure_future(self._keep_alive(connection, session_url(base, track), timeout_s))
        try:
            await asyncio.wait((connection.closed, self._failure), return_when=asyncio.FIRST_COMPLETED)
        finally:
            keeping.cancel()
        for ended in (self._failure, connection.closed):
            if ended.done():
                ended.result()

    def _use(self, connection: RtspConnection, track: VideoTrack, answer: RtspMessage) -> float:
        """Take the camera's choice of channel and session; seconds until the session ends without a sign of life."""
        session, _, rest = answer.header("session").partition(";")
        connection.session = session.strip()
        found = re.search(r"interleaved=(\d{1,3})", answer.header("transport"))
        if found is None:
            raise UnsuitableError("the camera does not send over the connection", use_udp=True)
        self._channel = int(found[1])
        self._payload_type = track.payload_type
        self._clock = CaptureClock(track.clock_rate)
        self._assembler = PictureAssembler(track.codec, track.parameter_sets)
        wanted = re.search(r"timeout=(\d{1,6})", rest)
        return max(float(wanted[1]), 4.0) if wanted else DEFAULT_SESSION_S

    async def _keep_alive(self, connection: RtspConnection, url: str, timeout_s: float) -> None:
        own = secrets.randbits(32)
        while True:
            await asyncio.sleep(min(timeout_s / 2, 25.0))
            connection.notify("OPTIONS" if timeout_s > 1e5 else "GET_PARAMETER", url)
            connection.send_packet(self._channel + 1, receiver_report_bytes(own))

    def on_packet(self, channel: int, data: bytes) -> None:
        """A packet of the connection: pictures, reports, or what we did not ask for."""
        assembler, clock = self._assembler, self._clock
        if assembler is None or clock is None:
            return
        if channel == self._channel + 1:
            for report in sender_reports(data):
                clock.hear(report)
            if is_goodbye(data):
                self._fail(IngestProblem.ENDED, "the camera says that the stream has ended")
            return
        if channel != self._channel:
            return
        try:
            packet = packet_from_bytes(data)
        except RtpError:
            self._note_malformed(assembler)
            return
        if packet.payload_type != self._payload_type:
            return
        self._begin_stream()
        before = assembler.malformed
        pictures = assembler.push(packet)
        if assembler.malformed > before:
            self._note_malformed(assembler)
        elif pictures:
            self._malformed = 0
        arrived_ns = self._clock_ns()
        for picture in pictures:
            captured_ns, kind = clock.place(picture.timestamp, arrived_ns)
            self._listener.on_picture(
                picture.data,
                captured_ns=captured_ns,
                arrived_ns=arrived_ns,
                clock=kind,
                is_keyframe=picture.is_keyframe,
                is_reference=picture.is_reference,
                is_after_loss=picture.is_after_loss,
            )
        if pictures:
            self._listener.on_transport(assembler.lost, clock.offset_ms)

    def _begin_stream(self) -> None:
        """Tell of the stream, once: its first pictures may come in one breath with the answer to PLAY."""
        if self._info is not None:
            self._listener.on_stream(self._info)
            self._info = None

    def _note_malformed(self, assembler: PictureAssembler) -> None:
        self._malformed += 1
        if self._malformed > MAX_MALFORMED:
            self._fail(
                IngestProblem.PROTOCOL, "what the camera sends cannot be taken apart; restart it, or its encoder"
            )

    def _fail(self, problem: IngestProblem, message: str) -> None:
        if not self._failure.done():
            self._failure.set_exception(IngestError(problem, message))
