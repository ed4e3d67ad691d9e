"""One RTSP connection to a camera: requests with their answers, the packets between them, and its last lines."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Mapping

from photofinish.address.hiding import public_address
from photofinish.client.cameras.ingest.figures import IngestError
from photofinish.client.cameras.rtsp.digest import Authorizer, challenge_from_headers
from photofinish.client.cameras.rtsp.messages import (
    Interleaved,
    RtspMessage,
    RtspParser,
    RtspProtocolError,
    interleaved_bytes,
    message_bytes,
)
from photofinish.client.cameras.values.status import IngestProblem

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 5.0
MAX_REDIRECTS = 3
SLOW_S = 0.005
"""What comes at once and takes so long is answered by a rest of REST times as long, so that one camera that sends
without an end leaves most of the loop to the others. A large keyframe takes a millisecond."""
REST = 4
USER_AGENT = "photofinish"


class RtspConnection(asyncio.Protocol):
    """A connection that is open. on_packet(channel, bytes) hears of each interleaved packet; it must not block.

    closed: done when the connection has ended, with the error that ended it.
    """

    def __init__(self, on_packet: Callable[[int, bytes], None], on_line: Callable[[str], None]) -> None:
        self._on_packet = on_packet
        self._on_line = on_line
        self._parser = RtspParser()
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, asyncio.Future[RtspMessage]] = {}
        self._sequence = 0
        self._authorizer: Authorizer | None = None
        self._notified = (0, "", "")
        self.session = ""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed.add_done_callback(lambda done: done.exception())  # it may be that nobody asks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The camera took the connection."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Packets and answers."""
        began_s = time.thread_time()
        try:
            for item in self._parser.feed(data):
                if isinstance(item, Interleaved):
                    self._on_packet(item.channel, item.payload)
                else:
                    self._take(item)
        except RtspProtocolError as exc:
            self._end(IngestError(IngestProblem.PROTOCOL, f"{exc}; is this address one of RTSP?"))
        if (took_s := time.thread_time() - began_s) > SLOW_S and self._transport is not None:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(took_s * REST, self._transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """The camera, or the network, ended it."""
        why = f" ({exc.strerror})" if isinstance(exc, OSError) and exc.strerror else ""
        self._end(IngestError(IngestProblem.ENDED, f"the camera ended the connection{why}"))

    def abort(self) -> None:
        """End it now, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, *, user: str = "", password: str = ""
    ) -> RtspMessage:
        """The camera's answer, 200 or a redirection. Raises IngestError for every other."""
        answer = await self._ask(method, url, headers or {})
        if answer.status == 401:
            challenge = challenge_from_headers(answer.all_of("www-authenticate"))
            if challenge is None:
                raise IngestError(
                    IngestProblem.AUTHENTICATION, "the camera asks for a kind of login that is unknown here"
                )
            if not user and not password:
                raise IngestError(
                    IngestProblem.AUTHENTICATION,
                    "the camera wants a user and a password; add them to its row in the list",
                )
            self._authorizer = Authorizer(challenge, user, password)
            answer = await self._ask(method, url, headers or {})
        if answer.status in (401, 403):
            raise IngestError(
                IngestProblem.AUTHENTICATION,
                "the camera refuses the user and password, or the user may not watch; check both in the list",
            )
        if answer.status == 404:
            raise IngestError(
                IngestProblem.NOT_FOUND, "the camera has nothing at this path; check the end of the address"
            )
        if answer.status is None or not (answer.status == 200 or 300 <= answer.status < 400):
            reason = answer.first.partition(" ")[2][:80]
            raise IngestError(IngestProblem.PROTOCOL, f"the camera answers {method} with {reason!r}")
        return answer

    def notify(self, method: str, url: str) -> None:
        """A request whose answer nobody waits for; by a new challenge it is sent once more."""
        self._notified = (self._send(method, url, {}), method, url)

    def send_packet(self, channel: int, packet: bytes) -> None:
        """A packet of ours, such as a receiver report."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(interleaved_bytes(channel, packet))

    async def _ask(self, method: str, url: str, headers: Mapping[str, str]) -> RtspMessage:
        number = self._send(method, url, headers)
        future: asyncio.Future[RtspMessage] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        try:
            done, _ = await asyncio.wait(
                (future, self.closed), timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._answers.pop(number, None)
        if future in done:
            return future.result()
        if self.closed in done:
            self.closed.result()
        raise IngestError(IngestProblem.TIMEOUT, f"the camera gave no answer to {method} within {ANSWER_TIMEOUT_S:g} s")

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> int:
        self._sequence += 1
        fields = {"CSeq": str(self._sequence), "User-Agent": USER_AGENT}
        if self.session:
            fields["Session"] = self.session
        if self._authorizer is not None:
            fields["Authorization"] = self._authorizer.header(method, url)
        self._on_line(f"> {method} {public_address(url)}")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(message_bytes(f"{method} {url} RTSP/1.0", {**fields, **headers}))
        return self._sequence

    def _take(self, message: RtspMessage) -> None:
        if message.status is None:
            self._on_line(f"< {message.first.partition(' ')[0][:20]}")
            return  # a request of the camera, which may be left unanswered
        self._on_line(f"< {message.first[:80]}")
        future = self._answers.get(message.sequence or -1)
        if future is not None and not future.done():
            future.set_result(message)
        elif message.status == 401 and message.sequence == self._notified[0]:
            self._log_in_anew(message)

    def _log_in_anew(self, answer: RtspMessage) -> None:
        """Some cameras let a challenge hold for a while, and end a session that goes on with an old one."""
        _, method, url = self._notified
        challenge = challenge_from_headers(answer.all_of("www-authenticate"))
        if challenge is not None and self._authorizer is not None:
            self._authorizer = self._authorizer.by(challenge)
            self._send(method, url, {})

    def _end(self, error: IngestError) -> None:
        if not self.closed.done():
            self.closed.set_exception(error)
        self.abort()


async def open_connection(
    url: str,
    address: tuple[str, int],
    on_packet: Callable[[int, bytes], None],
    on_line: Callable[[str], None],
) -> RtspConnection:
    """A connection to the camera's RTSP port. Raises IngestError that says what to check.

    rtsps is encrypted and the camera's certificate is not checked: cameras sign their own.
    """
    loop = asyncio.get_running_loop()
    host, port = address
    context = None
    if url.lower().startswith("rtsps"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    on_line(f"> connect {host}:{port}")
    try:
        _, connection = await asyncio.wait_for(
            loop.create_connection(lambda: RtspConnection(on_packet, on_line), host, port, ssl=context),
            CONNECT_TIMEOUT_S,
        )
    except asyncio.TimeoutError:
        text = (
            f"{host}:{port} does not answer within {CONNECT_TIMEOUT_S:g} s; is the camera on, and reachable from here?"
        )
        raise IngestError(IngestProblem.TIMEOUT, text) from None
    except ConnectionRefusedError:
        text = f"{host} refuses connections to port {port}; is the camera's RTSP service on, and the port right?"
        raise IngestError(IngestProblem.REFUSED, text) from None
    except ssl.SSLError as exc:
        reason = exc.reason or "no TLS there"
        raise IngestError(IngestProblem.TLS, f"{host}:{port} cannot be encrypted ({reason}); try rtsp://") from None
    except socket.gaierror:
        raise IngestError(IngestProblem.UNREACHABLE, f"the host {host} is not known; check its name") from None
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
        raise IngestError(IngestProblem.UNREACHABLE, f"{host}:{port} cannot be reached ({why})") from None
    return connection
