"""NAL units of H.264 and H.265: what they are, and how they travel in RTP (RFC 6184, RFC 7798)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

START_CODE = b"\x00\x00\x00\x01"
_INTRA_SLICES = (2, 4, 7, 9)


@dataclass(frozen=True, slots=True)
class NalKind:
    """is_slice: part of a picture; is_first: the first slice of one; is_key: a decoder may begin with it.

    is_parameter: a parameter set; is_sequence: one that says the size. is_reference: whether others may need it.
    layer: H.265's temporal layer.
    """

    is_slice: bool
    is_first: bool
    is_key: bool
    is_parameter: bool
    is_reference: bool
    is_intra: bool = False
    layer: int = 0
    is_sequence: bool = False


def h264_kind(nal: bytes) -> NalKind:
    """What an H.264 NAL unit is; at least one byte."""
    number = nal[0] & 31
    is_slice = 1 <= number <= 5
    is_first = is_slice and len(nal) > 1 and bool(nal[1] & 0x80)
    return NalKind(
        is_slice=is_slice,
        is_first=is_first,
        is_key=number == 5,
        is_parameter=number in (7, 8),
        is_reference=bool(nal[0] & 0x60),
        is_intra=is_first and _slice_type(nal) in _INTRA_SLICES,
        is_sequence=number == 7,
    )


def hevc_kind(nal: bytes) -> NalKind:
    """What an H.265 NAL unit is; at least one byte."""
    number = nal[0] >> 1 & 63
    is_slice = number < 32
    return NalKind(
        is_slice=is_slice,
        is_first=is_slice and len(nal) > 2 and bool(nal[2] & 0x80),
        is_key=16 <= number <= 21,
        is_parameter=32 <= number <= 34,
        is_reference=number > 15 or number % 2 == 1,
        layer=max((nal[1] & 7) - 1, 0) if len(nal) > 1 else 0,
        is_sequence=number == 33,
    )


def _slice_type(nal: bytes) -> int:
    """The second Exp-Golomb number of a first slice, whose first number is 0 and takes one bit."""
    bits = f"{int.from_bytes(nal[1:5].ljust(4, bytes(1)), 'big'):032b}"[1:]
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "0", 2) - 1 if 2 * zeros < len(bits) else -1


def nal_units(annex_b: bytes) -> Iterator[bytes]:
    """The NAL units between start codes."""
    for part in annex_b.replace(START_CODE, START_CODE[1:]).split(START_CODE[1:]):
        if part:
            yield part


def annex_b_from_units(units: Iterable[bytes]) -> bytes:
    """NAL units with a start code before each."""
    return b"".join(piece for unit in units for piece in (START_CODE, unit))


def rtp_payloads(unit: bytes, codec: str, limit: int = 1400) -> Iterator[bytes]:
    """The payloads that carry one NAL unit: itself, or fragments (FU-A, FU) of at most `limit` bytes."""
    if len(unit) <= limit:
        yield unit
        return
    head = 1 if codec == "h264" else 2
    number = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
    indicator = bytes((unit[0] & 0xE0 | 28,)) if codec == "h264" else bytes((unit[0] & 0x81 | 49 << 1, unit[1]))
    body = unit[head:]
    step = limit - head - 1
    for begin in range(0, len(body), step):
        is_last = begin + step >= len(body)
        mark = (0x80 if begin == 0 else 0) | (0x40 if is_last else 0) | number
        yield indicator + bytes((mark,)) + body[begin : begin + step]
