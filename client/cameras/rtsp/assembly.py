"""Whole coded pictures from RTP packets of H.264 and H.265."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from photofinish.client.cameras.rtsp.nal import NalKind, annex_b_from_units, h264_kind, hevc_kind
from photofinish.client.cameras.rtsp.rtp import RtpPacket

MAX_PICTURE = 16 << 20
MAX_UNITS = 4096
"""Of a picture: an encoder makes a slice of each row of macroblocks at most, and some messages beside them."""
_KINDS: Mapping[str, Callable[[bytes], NalKind]] = {"h264": h264_kind, "hevc": hevc_kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """data: Annex B. timestamp: of its packets. is_after_loss: packets before or in it were lost."""

    data: bytes
    timestamp: int
    is_keyframe: bool
    is_reference: bool
    is_after_loss: bool


class PictureAssembler:
    """Gives a picture as soon as the marker bit ends it; by the next timestamp where a camera's marker bits lie.

    lost: packets missing so far; malformed: payloads that could not be taken apart.
    """

    def __init__(self, codec: str, parameter_sets: tuple[bytes, ...] = ()) -> None:
        """codec: h264 or hevc. parameter_sets: of the description, put before a keyframe that has none."""
        self.lost = self.malformed = 0
        self._is_h264 = codec == "h264"
        self._kind = _KINDS[codec]
        self._given = parameter_sets
        self._units: list[bytes] = []
        self._kinds: list[NalKind] = []
        self._has_slice = False
        self._size = 0
        self._fragment: list[bytes] | None = None
        self._timestamp: int | None = None
        self._given_at: int | None = None
        self._next_sequence: int | None = None
        self._begun_anew: int | None = None
        self._has_lost = False
        self._marker_lies = False
        self._top_layer = 0

    def push(self, packet: RtpPacket) -> list[CodedPicture]:
        """The pictures that this packet ends: none, one, or seldom two."""
        if not self._in_order(packet.sequence):
            return []
        done: list[CodedPicture] = []
        if packet.timestamp != self._timestamp:
            done += self._finish()
            self._timestamp = packet.timestamp
        try:
            self._take(packet.payload)
        except (IndexError, ValueError):
            self.malformed += 1
            self._fragment = None
            self._has_lost = True
        if packet.is_marked and not self._marker_lies:
            done += self._finish()
        return done

    def _note_sets(self) -> None:
        """The camera's newest parameter sets are those of its next keyframes, whatever the description said."""
        sets = [unit for unit, kind in zip(self._units, self._kinds, strict=True) if kind.is_parameter]
        if any(self._kind(unit).is_sequence for unit in sets):
            numbers = {self._number(unit) for unit in sets}
            self._given = (*(unit for unit in self._given if self._number(unit) not in numbers), *sets)

    def _number(self, unit: bytes) -> int:
        """The kind of a unit as its coding numbers it."""
        return unit[0] & 31 if self._is_h264 else unit[0] >> 1 & 63

    def _in_order(self, sequence: int) -> bool:
        """Count what is missing; False for a packet that came twice or too late."""
        if self._next_sequence is not None:
            missing = (sequence - self._next_sequence) & 0xFFFF
            if missing > 0x8000 and sequence != self._begun_anew:
                self._begun_anew = (sequence + 1) & 0xFFFF
                return False
            if missing > 0x8000:  # two in a row: the camera counts anew, and how many were lost cannot be told
                missing = 1
            if missing:
                self.lost += missing
                self._has_lost = True
                self._fragment = None
        self._next_sequence, self._begun_anew = (sequence + 1) & 0xFFFF, None
        return True

    def _take(self, payload: bytes) -> None:
        if not payload:
            return
        if self._is_h264:
            head, together, fragments = 1, 24, 28
        else:
            head, together, fragments = 2, 48, 49
        number = self._number(payload)
        if number == together:
            at = head
            while at + 2 <= len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                if not size or at + 2 + size > len(payload):
                    raise ValueError("a unit that is longer than its packet")
                self._add(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif number == fragments:
            self._take_fragment(payload, head)
        elif number > fragments or (self._is_h264 and number > 24):
            raise ValueError("a kind of packet that nobody sends over TCP")
        else:
            self._add(payload)

    def _take_fragment(self, payload: bytes, head: int) -> None:
        mark = payload[head]
        if mark & 0x80:
            if self._is_h264:
                first = bytes((payload[0] & 0xE0 | mark & 31,))
            else:
                first = bytes((payload[0] & 0x81 | (mark & 63) << 1, payload[1]))
            self._fragment = [first]
        if self._fragment is None:
            return  # its beginning was lost, which is counted
        self._fragment.append(payload[head + 1 :])
        self._grow(len(payload))
        if mark & 0x40:
            unit = b"".join(self._fragment)
            self._fragment = None
            self._size -= len(unit)
            self._add(unit)

    def _add(self, unit: bytes) -> None:
        self._grow(len(unit))
        if len(self._units) >= MAX_UNITS:
            self._clear()
            raise ValueError("a picture of more than 4096 units")
        kind = self._kind(unit)
        if kind.is_slice and not kind.is_first and not self._has_slice and self._continues():
            self._marker_lies = True  # more slices of the picture that the marker ended
        self._has_slice = self._has_slice or kind.is_slice
        self._units.append(unit)
        self._kinds.append(kind)

    def _continues(self) -> bool:
        return self._given_at == self._timestamp and not self._has_lost

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_PICTURE:
            self._clear()
            raise ValueError("a picture of more than 16 MiB")

    def _clear(self) -> None:
        self._units, self._kinds, self._fragment, self._size, self._has_slice = [], [], None, 0, False

    def _finish(self) -> list[CodedPicture]:
        """The picture that is together, if it is one: parameter sets alone wait for the picture behind them."""
        slices = [kind for kind in self._kinds if kind.is_slice]
        if not slices or self._timestamp is None:
            if self._size > MAX_PICTURE // 16 or len(self._units) > MAX_UNITS // 16:
                self._clear()
            return []
        has_sets = any(kind.is_parameter for kind in self._kinds)
        is_key = any(kind.is_key for kind in slices) or (has_sets and slices[0].is_intra)
        units = [*self._given, *self._units] if is_key and not has_sets else self._units
        if has_sets:
            self._note_sets()
        self._top_layer = max(self._top_layer, slices[0].layer)
        is_reference = any(kind.is_reference for kind in slices) or slices[0].layer < self._top_layer
        picture = CodedPicture(
            data=annex_b_from_units(units),
            timestamp=self._timestamp,
            is_keyframe=is_key,
            is_reference=is_reference,
            is_after_loss=self._has_lost,
        )
        self._given_at = self._timestamp
        self._has_lost = False
        self._clear()
        return [picture]
