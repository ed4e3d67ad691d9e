"""RTSP over one TCP connection: messages and the packets that are interleaved with them (RFC 2326, 10.12)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_HEAD = 64 << 10
MAX_BODY = 1 << 20
MAX_AT_ONCE = 100
"""Messages that come in one piece: a camera answers one request at a time, and reports now and then."""
_DOLLAR = 0x24
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class RtspProtocolError(ValueError):
    """What came is no RTSP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtspMessage:
    """A request or an answer. first: its first line; headers: (name in lower case, value) in their order."""

    first: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first value of a header, given in lower case; "" where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def all_of(self, name: str) -> tuple[str, ...]:
        """Every value of a header, given in lower case."""
        return tuple(value for key, value in self.headers if key == name)

    @property
    def status(self) -> int | None:
        """The number of an answer; None for a request."""
        words = self.first.split(None, 2)
        is_answer = len(words) >= 2 and words[0].startswith("RTSP/") and words[1].isascii() and words[1].isdigit()
        return int(words[1][:3]) if is_answer else None

    @property
    def sequence(self) -> int | None:
        """Its CSeq; None where it has none that is a number."""
        text = self.header("cseq")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A packet of one channel of the connection."""

    channel: int
    payload: bytes


@dataclass(slots=True)
class RtspParser:
    """Takes bytes as they come and gives whole messages and packets."""

    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    """So much of a message that is not whole was looked through, so that one in small pieces is read once."""
    _head: tuple[RtspMessage, int] | None = None
    """Of a message whose body is not whole, and its size."""

    def feed(self, data: bytes) -> list[RtspMessage | Interleaved]:
        """What is whole now. Raises RtspProtocolError when it is neither a message nor a packet."""
        buffer = self._buffer
        buffer += data
        found: list[RtspMessage | Interleaved] = []
        at, size, messages = 0, len(buffer), 0
        while at < size:
            if buffer[at] == _DOLLAR:
                if size - at < 4:
                    break
                end = at + 4 + ((buffer[at + 2] << 8) | buffer[at + 3])
                if end > size:
                    break
                found.append(Interleaved(buffer[at + 1], bytes(buffer[at + 4 : end])))
                at = end
            elif buffer[at] in b"\r\n":  # some cameras put an empty line between
                at += 1
            else:
                taken = self._message(at)
                if taken is None:
                    break
                message, at = taken
                found.append(message)
                messages += 1
                if messages > MAX_AT_ONCE:
                    raise RtspProtocolError(f"the camera sends more than {MAX_AT_ONCE} messages at once")
        del buffer[:at]
        return found

    def _message(self, at: int) -> tuple[RtspMessage, int] | None:
        """The message that begins there, and where it ends; None while it is not whole."""
        head, size = self._head or self._head_at(at)
        if head is None:
            return None
        length_text = head.header("content-length") or "0"
        if not (length_text.isascii() and length_text.isdigit()) or len(length_text) > 7 or int(length_text) > MAX_BODY:
            raise RtspProtocolError(f"a message of the camera has a length of {length_text[:20]}")
        body_begin, body_end = at + size, at + size + int(length_text)
        if body_end > len(self._buffer):
            self._head = head, size
            return None
        self._head = None
        body = bytes(self._buffer[body_begin:body_end])
        return RtspMessage(first=head.first, headers=head.headers, body=body), body_end

    def _head_at(self, at: int) -> tuple[RtspMessage | None, int]:
        """The lines before a body, and their size with the empty line; None while they are not whole."""
        buffer = self._buffer
        if not 0x41 <= buffer[at] <= 0x5A:  # every method and "RTSP" begin with a capital
            raise RtspProtocolError("what the camera sends is no RTSP")
        found = _END_OF_HEAD.search(buffer, at + self._searched, at + MAX_HEAD)
        if found is None:
            if len(buffer) - at > MAX_HEAD:
                raise RtspProtocolError("a message of the camera does not end")
            self._searched = max(len(buffer) - at - 3, 0)
            return None, 0
        self._searched = 0
        lines = buffer[at : found.start()].decode("utf-8", "replace").splitlines()
        headers = tuple(
            (name.strip().lower(), value.strip())
            for name, colon, value in (line.partition(":") for line in lines[1:])
            if colon
        )
        return RtspMessage(first=lines[0], headers=headers), found.end() - at


def message_bytes(first: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A message for the wire. Raises ValueError when a value would begin another line."""
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode() + body


def interleaved_bytes(channel: int, packet: bytes) -> bytes:
    """A packet for the wire, at most 65535 bytes."""
    return b"$" + bytes((channel,)) + len(packet).to_bytes(2, "big") + packet
