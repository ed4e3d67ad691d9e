"""An RTSP server that sends encoded clips again: real streams for tests and for load, with faults on demand."""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from photofinish.client.cameras.rtsp.digest import is_authorized
from photofinish.client.cameras.rtsp.messages import RtspMessage, RtspParser, RtspProtocolError, message_bytes
from photofinish.client.cameras.rtsp.sdp import sdp_of_video
from photofinish.client.cameras.streams.stream import MAX_UNSENT, StreamSender, TestStream
from photofinish.machine.addresses import LOOPBACK

REALM = "photofinish test stream"
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
_REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 455: "Method Not Valid", 461: "Unsupported Transport"}


class StreamServer:
    """Serves the streams at `rtsp://host:port/<path>`. An asynchronous context manager; RTP over TCP only.

    streams: by path, may be changed while it runs. align_s: pictures of every connection begin at a multiple of it, on
    a clock that all processes of this machine share, so that keyframes come all at once; 0 for any moment.
    """

    def __init__(
        self,
        streams: Mapping[str, TestStream],
        *,
        host: str = LOOPBACK,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        seed: int = 0,
        align_s: float = 0.0,
    ) -> None:
        self.streams = streams
        self.port = port
        self.align_s = align_s
        self._host = host
        self._tls = tls
        self.chance = random.Random(seed)
        self.connections: set[_Watcher] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> StreamServer:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Watcher(self), self._host, self.port, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop as a camera that loses its power: every connection is cut."""
        if self._server is not None:
            self._server.close()
        for watcher in list(self.connections):
            watcher.cut()
        await asyncio.sleep(0)

    def url(self, path: str) -> str:
        """The address of a stream."""
        return f"{'rtsps' if self._tls else 'rtsp'}://{self._host}:{self.port}/{path}"

    def cut_connections(self, path: str) -> None:
        """Cut everybody who watches one stream."""
        for watcher in list(self.connections):
            if watcher.path == path:
                watcher.cut()


class _Watcher(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: StreamServer) -> None:
        self.path = ""
        self._server = server
        self._parser = RtspParser()
        self._transport: asyncio.Transport | None = None
        self._nonce = secrets.token_hex(8)
        self._session = secrets.token_hex(4)
        self._channel = 0
        self._sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody watches."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody watches any more."""
        self._server.connections.discard(self)
        if self._sending is not None:
            self._sending.cancel()

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Requests, and receiver reports, which nobody reads."""
        try:
            for item in self._parser.feed(data):
                if isinstance(item, RtspMessage):
                    self._answer(item)
        except RtspProtocolError:
            self.cut()

    def _answer(self, request: RtspMessage) -> None:
        method, _, rest = request.first.partition(" ")
        url = rest.partition(" ")[0]
        path = urlsplit(url).path.strip("/").removesuffix("/track1").removesuffix("/audio")
        stream = self._server.streams.get(path)
        if stream is not None and stream.faults.dead:
            return
        if method == "OPTIONS":
            self._reply(request, 200, {"Public": _METHODS})
        elif stream is None:
            self._reply(request, 404)
        elif stream.faults.status not in (0, 401):
            self._reply(request, stream.faults.status)
        elif not self._may_watch(request, method, stream):
            asked = f'Digest realm="{REALM}", nonce="{self._nonce}"'
            if stream.algorithm != "MD5":
                asked += f', algorithm={stream.algorithm}, qop="auth"'
            self._reply(request, 401, {"WWW-Authenticate": asked})
        else:
            self.path = path
            self._serve(request, method, url, stream)

    def _may_watch(self, request: RtspMessage, method: str, stream: TestStream) -> bool:
        if stream.faults.status == 401:
            return False
        header = request.header("authorization")
        return not stream.user or is_authorized(header, method, stream.user, stream.password, REALM, self._nonce)

    def _serve(self, request: RtspMessage, method: str, url: str, stream: TestStream) -> None:
        session = {"Session": f"{self._session};timeout=60"}
        if method == "DESCRIBE":
            faults, clip = stream.faults, stream.clip
            fps = faults.announced_fps or stream.frames_per_s
            sets = () if faults.no_keyframe else clip.parameter_sets
            body = sdp_of_video(clip.encoding, sets, announced_fps=fps)
            headers = {"Content-Base": f"{url.rstrip('/')}/", "Content-Type": "application/sdp"}
            loop = asyncio.get_running_loop()
            loop.call_later(faults.describe_delay_s, self._reply, request, 200, headers, body)
        elif method == "SETUP":
            wanted = request.header("transport")
            if stream.faults.refuse_tcp or "interleaved" not in wanted:
                self._reply(request, 461)
                return
            channels = wanted.partition("interleaved=")[2].partition(";")[0]
            first = channels.partition("-")[0]
            channel = int(first) & 254 if first.isdigit() else 0
            if not url.rstrip("/").endswith("/audio"):  # which is silent
                self._channel = channel
            chosen = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"
            self._reply(request, 200, {**session, "Transport": chosen})
        elif method == "PLAY":
            self._reply(request, 200, session)
            self._play(stream)
        elif method == "TEARDOWN":
            self._reply(request, 200, session)
            if self._transport is not None:
                self._transport.close()
        else:
            self._reply(request, 200 if method in _METHODS else 455, session)

    def _reply(
        self, request: RtspMessage, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        if self._transport is not None and not self._transport.is_closing():
            first = f"RTSP/1.0 {status} {_REASONS.get(status, 'No')}"
            self._transport.write(message_bytes(first, {"CSeq": request.header("cseq"), **(headers or {})}, body))

    def _play(self, stream: TestStream) -> None:
        if self._sending is not None:
            return
        stream.connections += 1
        sender = StreamSender(stream, self._channel, self._server.chance)
        now_s, align_s = time.perf_counter(), self._server.align_s
        later_s = align_s - now_s % align_s if align_s else self._server.chance.random() / stream.frames_per_s
        begin_s = now_s + later_s
        self._plan(stream, sender, begin_s, begin_s, 0)

    def _plan(self, stream: TestStream, sender: StreamSender, begin_s: float, planned_s: float, index: int) -> None:
        delay_s = max(planned_s - time.perf_counter(), 0.0)
        loop = asyncio.get_running_loop()
        self._sending = loop.call_later(delay_s, self._send, stream, sender, begin_s, planned_s, index)

    def _send(self, stream: TestStream, sender: StreamSender, begin_s: float, planned_s: float, index: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        now_s = time.perf_counter()
        data = sender.report(now_s - begin_s)
        if self._transport.get_write_buffer_size() < MAX_UNSENT:
            picture = sender.picture(index, planned_s - begin_s)
            data += picture
            if picture:
                stream.note_sent(round((now_s - planned_s) * 1e9))
        if data:
            self._transport.write(data)
        self._plan(stream, sender, begin_s, planned_s + 1 / stream.frames_per_s, index + 1)
