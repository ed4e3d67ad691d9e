"""Which coded pictures of a camera are decoded, and which decoded ones are told of: as few as its coding allows."""

from __future__ import annotations

from typing import Literal

from photofinish.client.cameras.values.access_unit import AccessUnit

Sampling = Literal["all", "reference", "keyframes"]
"""all: every picture, since later ones need it. reference: those that others need, and what is due of the rest.
keyframes: those alone."""
JUMP_TICKS = 1000
"""Times that jump so far are of another stream."""
KEYFRAMES_SUFFICE = 1.02
_INTRA_CODECS = ("mjpeg", "rawvideo", "dvvideo", "prores", "png")


class RateBucket:
    """Says for each picture whether one is wanted again: one for each of the owner's ticks, and one tick may be owed.

    So a camera of just the wanted rate loses nothing by its jitter, and a picture that is wanted seldom is a fresh one.
    """

    def __init__(self, frames_per_s: float, anchor_ns: int = 0) -> None:
        """anchor_ns: when any one of the ticks is due."""
        self.frames_per_s = frames_per_s
        self.anchor_ns = anchor_ns
        self._next_tick: int | None = None

    def is_wanted(self, captured_ns: int) -> bool:
        """Whether this picture is wanted; then the next one is not before its tick."""
        if self.frames_per_s <= 0:
            return False
        tick = int((captured_ns - self.anchor_ns) * self.frames_per_s // 1e9)
        if self._next_tick is None or abs(tick - self._next_tick) > JUMP_TICKS:
            self._next_tick = tick
        if tick < self._next_tick:
            return False
        self._next_tick = max(self._next_tick + 1, tick)
        return True


class Sampler:
    """Decides for one connection. sampling: what it does now, to be shown."""

    def __init__(self, frames_per_s: float, *, codec: str, anchor_ns: int = 0, keyframes_only: bool = False) -> None:
        self._bucket = RateBucket(frames_per_s, anchor_ns)
        self._keyframes_only = keyframes_only
        self._is_intra = codec in _INTRA_CODECS
        self._keyframe_ns: int | None = None
        self._interval_ns: int | None = None
        self._has_lonely = False
        self.sampling: Sampling = self._found()

    def _found(self) -> Sampling:
        if self._keyframes_only or self._is_intra or self._bucket.frames_per_s <= 0 or self._keyframes_suffice():
            return "keyframes"
        return "reference" if self._has_lonely else "all"

    def change(self, frames_per_s: float, *, anchor_ns: int, keyframes_only: bool) -> None:
        """Another rate is wanted from now on."""
        if (frames_per_s, anchor_ns) != (self._bucket.frames_per_s, self._bucket.anchor_ns):
            self._bucket = RateBucket(frames_per_s, anchor_ns)
        self._keyframes_only = keyframes_only
        self.sampling = self._found()

    def decide(self, unit: AccessUnit) -> tuple[bool, bool]:
        """Whether to decode the unit, and whether its picture is wanted. Ask once for each, in their order."""
        if unit.is_keyframe:
            since_ns = 0 if self._keyframe_ns is None else unit.captured_ns - self._keyframe_ns
            self._interval_ns = since_ns if since_ns > 0 else None
            self._keyframe_ns = unit.captured_ns
        if unit.is_keyframe or (not unit.is_reference and not self._has_lonely):  # else it stays what it is
            self._has_lonely = self._has_lonely or not unit.is_reference
            self.sampling = self._found()
        if self.sampling == "keyframes":
            is_wanted = unit.is_keyframe and self._bucket.is_wanted(unit.captured_ns)
            return is_wanted, is_wanted
        is_wanted = self._bucket.is_wanted(unit.captured_ns)
        return is_wanted or unit.is_reference, is_wanted

    def _keyframes_suffice(self) -> bool:
        wanted = self._bucket.frames_per_s
        return wanted > 0 and self._interval_ns is not None and self._interval_ns <= KEYFRAMES_SUFFICE * 1e9 / wanted
