"""RTSP over one TCP connection: messages and the packets that are interleaved with them (RFC 2326, 10.12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_HEAD = 64 << 10
MAX_BODY = 1 << 20
_DOLLAR = 0x24


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

    def feed(self, data: bytes) -> list[RtspMessage | Interleaved]:
        """What is whole now. Raises RtspProtocolError when it is neither a message nor a packet."""
        buffer = self._buffer
        buffer += data
        found: list[RtspMessage | Interleaved] = []
        at, size = 0, len(buffer)
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
        del buffer[:at]
        return found

    def _message(self, at: int) -> tuple[RtspMessage, int] | None:
        buffer = self._buffer
        if not 0x41 <= buffer[at] <= 0x5A:  # every method and "RTSP" begin with a capital
            raise RtspProtocolError("what the camera sends is no RTSP")
        end, gap = buffer.find(b"\r\n\r\n", at), 4
        if end < 0:
            end, gap = buffer.find(b"\n\n", at), 2
        if end < 0 or end - at > MAX_HEAD:
            if len(buffer) - at > MAX_HEAD:
                raise RtspProtocolError("a message of the camera does not end")
            return None
        lines = buffer[at:end].decode("utf-8", "replace").splitlines()
        headers = tuple(
            (name.strip().lower(), value.strip())
            for name, colon, value in (line.partition(":") for line in lines[1:])
            if colon
        )
        head = RtspMessage(first=lines[0], headers=headers)
        length_text = head.header("content-length") or "0"
        if not (length_text.isascii() and length_text.isdigit()) or len(length_text) > 7 or int(length_text) > MAX_BODY:
            raise RtspProtocolError(f"a message of the camera has a length of {length_text[:20]}")
        body_end = end + gap + int(length_text)
        if body_end > len(buffer):
            return None
        return RtspMessage(first=head.first, headers=headers, body=bytes(buffer[end + gap : body_end])), body_end


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
