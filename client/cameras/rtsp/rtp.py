"""RTP packets and RTCP sender reports (RFC 3550)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NTP_TO_UNIX_S = 2_208_988_800
_SENDER_REPORT, _RECEIVER_REPORT, _BYE = 200, 201, 203
_HEAD = struct.Struct("!BBHII")


class RtpError(ValueError):
    """A packet that is none."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. timestamp: 32 bits of the track's clock."""

    is_marked: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReport:
    """What the sender's clock showed at an RTP timestamp; unix_ns is 0 where it has no clock."""

    ssrc: int
    unix_ns: int
    timestamp: int


def packet_from_bytes(data: bytes) -> RtpPacket:
    """The packet. Raises RtpError."""
    if len(data) < 12:
        raise RtpError("an RTP packet of fewer than 12 bytes")
    first, second, sequence, timestamp, ssrc = _HEAD.unpack_from(data)
    if first >> 6 != 2:
        raise RtpError(f"an RTP packet of version {first >> 6}")
    start, end = 12 + 4 * (first & 15), len(data)
    if first & 0x10:
        if start + 4 > end:
            raise RtpError("an RTP packet ends in its extension")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1]
    if start > end:
        raise RtpError("an RTP packet is shorter than its head says")
    return RtpPacket(bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, data[start:end])


def packet_bytes(
    payload: bytes, *, sequence: int, timestamp: int, ssrc: int, is_marked: bool, payload_type: int = 96
) -> bytes:
    """A packet for the wire."""
    second = payload_type | (0x80 if is_marked else 0)
    return _HEAD.pack(0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def sender_reports(data: bytes) -> Iterator[SenderReport]:
    """Every sender report of a compound RTCP packet; what is none is passed over."""
    at = 0
    while at + 4 <= len(data):
        kind = data[at + 1]
        size = 4 * (int.from_bytes(data[at + 2 : at + 4], "big") + 1)
        if data[at] >> 6 != 2:
            return
        if kind == _SENDER_REPORT and at + 20 <= len(data):
            ssrc, seconds, fraction, timestamp = struct.unpack_from("!IIII", data, at + 4)
            unix_ns = (seconds - NTP_TO_UNIX_S) * 10**9 + (fraction * 10**9 >> 32) if seconds else 0
            yield SenderReport(ssrc=ssrc, unix_ns=unix_ns, timestamp=timestamp)
        at += size


def is_goodbye(data: bytes) -> bool:
    """Whether a compound RTCP packet says that the stream has ended."""
    at = 0
    while at + 4 <= len(data):
        if data[at + 1] == _BYE:
            return True
        at += 4 * (int.from_bytes(data[at + 2 : at + 4], "big") + 1)
    return False


def sender_report_bytes(report: SenderReport, *, packets: int, octets: int) -> bytes:
    """A sender report for the wire."""
    seconds, rest_ns = divmod(report.unix_ns, 10**9)
    numbers = (
        report.ssrc,
        (seconds + NTP_TO_UNIX_S) & 0xFFFFFFFF,
        (rest_ns << 32) // 10**9,
        report.timestamp & 0xFFFFFFFF,
    )
    return struct.pack("!BBHIIIIII", 0x80, _SENDER_REPORT, 6, *numbers, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)


def receiver_report_bytes(own_ssrc: int) -> bytes:
    """An empty receiver report: a sign of life that some cameras want."""
    return struct.pack("!BBHI", 0x80, _RECEIVER_REPORT, 1, own_ssrc)
