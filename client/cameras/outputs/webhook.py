"""Frames with boxes, and events, to a web address: a few in one POST, tried again with pauses, or lost with a count."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from photofinish import __version__
from photofinish.client.cameras.outputs.json_lines import line_from_told
from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus
from photofinish.errors import ConfigError

ADDRESS_VARIABLE = "PHOTOFINISH_WEBHOOK"
TOKEN_VARIABLE = "PHOTOFINISH_WEBHOOK_TOKEN"
MAX_WAITING_FRAMES = 2000
FRAMES_A_REQUEST = 100
TIMEOUT_S = 5.0
PAUSES_S = (0.5, 1.0, 2.0)
"""Before the second, third and fourth try: a receiver that is started again is back within these."""
AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may do; any other is the request's fault, and repeating it is of no use."""


class Webhook:
    """An EventReceiver. POSTs `{"events": [line, …]}` with frames that have boxes, and events, as in JSON lines.

    One request at a time, up to 100 lines in it, so a slow receiver gets fewer and longer requests. Redirections are
    not followed. Only the host of the address is ever shown: its path may be a secret.
    """

    def __init__(
        self,
        address: str,
        *,
        environment: Mapping[str, str] = os.environ,
        timeout_s: float = TIMEOUT_S,
        pauses_s: tuple[float, ...] = PAUSES_S,
        max_waiting: int = MAX_WAITING_FRAMES,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Connects with the first frame. Raises ConfigError when it is no http or https address."""
        self._address = webhook_from_text(address)
        self.name = f"webhook {self._address.hostname}"
        self._timeout_s = timeout_s
        self._pauses_s = pauses_s
        self._headers = {"Content-Type": "application/json", "User-Agent": f"photofinish/{__version__}"}
        if token := environment.get(TOKEN_VARIABLE, ""):
            self._headers["Authorization"] = f"Bearer {token}"
        elif self._address.username:
            pair = f"{unquote(self._address.username)}:{unquote(self._address.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._connection: http.client.HTTPConnection | None = None
        self._events = WaitingEvents(
            self.name, self._send, limit=max_waiting, at_once=FRAMES_A_REQUEST, on_failure=on_failure
        )

    @property
    def lost(self) -> int:
        """Frames and events that the receiver did not take."""
        return self._events.lost

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there; a frame without any is no event."""
        if len(result.detections):
            self._events.put(result)

    def on_event(self, event: ObjectEvent | LineCrossing) -> None:
        """An object came, changed or went, or crossed a line."""
        self._events.put(event)

    def on_status(self, status: CellStatus) -> None:
        """Nothing of it is sent."""

    def close(self) -> None:
        """Send what waits, for a moment."""
        self._events.close()

    def _send(self, told: list[Inferred | ObjectEvent | LineCrossing]) -> None:
        """One request, tried up to four times. Raises OSError that says what came of the last try."""
        body = json.dumps({"events": [line_from_told(item) for item in told]}).encode()
        for pause_s in (*self._pauses_s, None):
            try:
                status = self._post(body)
            except (OSError, http.client.HTTPException) as exc:
                self._forget_connection()
                problem = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            else:
                if 200 <= status < 300:
                    return
                problem = f"it answers {status} {http.client.responses.get(status, '')}".rstrip()
                if 300 <= status < 400:
                    problem += "; redirections are not followed, give the address that it redirects to"
                if status not in AGAIN:
                    raise OSError(problem)
            if pause_s is None or self._events.is_closing.wait(pause_s):
                break
        raise OSError(problem)

    def _post(self, body: bytes) -> int:
        """The status of the answer."""
        connection = self._connection or self._connected()
        self._connection = connection
        limit = threading.Timer(self._timeout_s, self._cut, (connection,))
        limit.daemon = True
        limit.start()
        try:
            return self._answer_of(connection, body)
        finally:
            limit.cancel()

    def _answer_of(self, connection: http.client.HTTPConnection, body: bytes) -> int:
        target = (self._address.path or "/") + (f"?{self._address.query}" if self._address.query else "")
        connection.request("POST", target, body, self._headers)
        answer = connection.getresponse()
        answer.read(1 << 20)
        if answer.will_close or not answer.isclosed():
            self._forget_connection()
        return answer.status

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=self._timeout_s, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)

    @staticmethod
    def _cut(connection: http.client.HTTPConnection) -> None:
        """End a try that takes too long as a whole: a receiver that sends a byte now and then never times out."""
        sock: socket.socket | None = connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def webhook_from_text(address: str) -> SplitResult:
    """The address taken apart. Raises ConfigError without the address, which may be a secret."""
    try:
        parts = urlsplit(address)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(letter.isspace() or not letter.isprintable() for letter in address):
        raise ConfigError("the webhook must be an address such as https://host/path; what was given is none")
    return parts
