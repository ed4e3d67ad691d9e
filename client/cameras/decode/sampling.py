"""Which coded pictures of a camera are decoded, and which decoded ones are told of: as few as its coding allows."""

from __future__ import annotations

from typing import Literal

from photofinish.client.cameras.values.access_unit import AccessUnit

Sampling = Literal["all", "reference", "keyframes"]
"""all: every picture, since later ones need it. reference: those that others need, and what is due of the rest.
keyframes: those alone."""
LENIENCE = 1.03
"""The owner's schedule decides what is due; here a camera of just the wanted rate must not starve by its jitter."""
MAX_TOKENS = 1.5
KEYFRAMES_SUFFICE = 1.02
_INTRA_CODECS = ("mjpeg", "rawvideo", "dvvideo", "prores", "png")


class RateBucket:
    """Says for each picture whether one is wanted again, by its capture time."""

    def __init__(self, frames_per_s: float) -> None:
        self.frames_per_s = frames_per_s
        self._tokens = MAX_TOKENS
        self._last_ns: int | None = None

    def is_wanted(self, captured_ns: int) -> bool:
        """Whether this picture is wanted; then the next one is not for a while."""
        if self.frames_per_s <= 0:
            return False
        if self._last_ns is not None:
            passed_s = max(captured_ns - self._last_ns, 0) / 1e9
            self._tokens = min(self._tokens + passed_s * self.frames_per_s * LENIENCE, MAX_TOKENS)
        self._last_ns = captured_ns
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Sampler:
    """Decides for one connection. sampling: what it does now, to be shown."""

    def __init__(self, frames_per_s: float, *, codec: str, keyframes_only: bool = False) -> None:
        self._bucket = RateBucket(frames_per_s)
        self._keyframes_only = keyframes_only
        self._is_intra = codec in _INTRA_CODECS
        self._keyframe_ns: int | None = None
        self._interval_ns: int | None = None
        self._has_lonely = False

    @property
    def sampling(self) -> Sampling:
        """How much is decoded."""
        if self._keyframes_only or self._is_intra or self._bucket.frames_per_s <= 0 or self._keyframes_suffice():
            return "keyframes"
        return "reference" if self._has_lonely else "all"

    def change(self, frames_per_s: float, *, keyframes_only: bool) -> None:
        """Another rate is wanted from now on."""
        if frames_per_s != self._bucket.frames_per_s:
            self._bucket = RateBucket(frames_per_s)
        self._keyframes_only = keyframes_only

    def decide(self, unit: AccessUnit) -> tuple[bool, bool]:
        """Whether to decode the unit, and whether its picture is wanted. Ask once for each, in their order."""
        if unit.is_keyframe:
            since_ns = 0 if self._keyframe_ns is None else unit.captured_ns - self._keyframe_ns
            self._interval_ns = since_ns if since_ns > 0 else None
            self._keyframe_ns = unit.captured_ns
        self._has_lonely = self._has_lonely or not unit.is_reference
        sampling = self.sampling
        if sampling == "keyframes":
            is_wanted = unit.is_keyframe and self._bucket.is_wanted(unit.captured_ns)
            return is_wanted, is_wanted
        is_wanted = self._bucket.is_wanted(unit.captured_ns)
        return is_wanted or unit.is_reference, is_wanted

    def _keyframes_suffice(self) -> bool:
        wanted = self._bucket.frames_per_s
        return wanted > 0 and self._interval_ns is not None and self._interval_ns <= KEYFRAMES_SUFFICE * 1e9 / wanted
