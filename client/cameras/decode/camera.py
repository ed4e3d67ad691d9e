"""One camera in a decode process: its waiting units, its decoder, and the newest picture that is wanted."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from photofinish.client.cameras.decode.sampling import Sampler
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import DecodeCamera, DecodeReport, DecodeState, OpenStream
from photofinish.errors import SourceError

LATE_S = 0.5
"""With units older than this waiting, decoding begins again at the newest keyframe."""
HOPELESS_S = 2.0
"""With units older than this and no keyframe behind them, the next one is waited for."""
STALE_S = 1.0
"""Pictures older than this are decoded for those behind them, and not told of."""
BEHIND_NS = 2 * 10**9
"""For so long after it left something out, this is what was wrong."""
MAX_WANTED = 32


class DecodedPicture(Protocol):
    """A decoded picture, wherever it lies."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""


PictureT = TypeVar("PictureT", bound=DecodedPicture)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[PictureT]):
    """A picture, and the unit that it was coded in: with reordered pictures an earlier one than was handed over."""

    picture: PictureT
    unit: AccessUnit


class PictureDecoder(Protocol[PictureT]):
    """Decodes one connection's units in their order."""

    @property
    def is_opening(self) -> bool:
        """Whether it is not ready yet, so that its units wait and nobody is too slow."""

    def decode(self, unit: AccessUnit) -> Decoded[PictureT] | None:
        """The picture that is there now, if one is. Raises SourceError when the unit cannot be decoded.

        A unit that it is opened with is handed over once more when it is open.
        """


class DecodedCamera(Generic[PictureT]):
    """Takes units as they come; `step` decodes one. held: the newest wanted picture, with what is told of it.

    state: as in DecodeReport.
    """

    def __init__(
        self,
        wish: DecodeCamera,
        make_decoder: Callable[[StreamInfo], PictureDecoder[PictureT]],
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """make_decoder(info): a decoder for a connection. Raises SourceError for a coding that it does not know."""
        self.name = wish.camera
        self.held: tuple[PictureT, DueFrame] | None = None
        self._make_decoder = make_decoder
        self._wanted_ns: OrderedDict[int, None] = OrderedDict()
        self._wish = wish
        self._clock_ns = clock_ns
        self._units: deque[AccessUnit] = deque()
        self._opening: AccessUnit | None = None
        """What the decoder is opened with; its picture is asked for again when that is done."""
        self._decoder: PictureDecoder[PictureT] | None = None
        self._sampler = self._sampler_for("")
        self._connection = 0
        self._sequence = 0
        self._behind_until_ns = 0
        self._excused_ns = 0
        """What came before this waited for a decoder, or was kept by ingest for one: that is nobody's slowness."""
        self._needs_keyframe = True
        self.state: DecodeState = "waiting"
        self._message = ""
        self._decoded = self._passed_over = self._failed = self._late = 0

    @property
    def has_work(self) -> bool:
        """Whether a unit waits."""
        return bool(self._units) or self._opening is not None

    def change(self, wish: DecodeCamera) -> None:
        """The owner wants another rate. A step back up begins at a keyframe, since units between were left out."""
        was = self._sampler.sampling
        self._wish = wish
        self._sampler.change(wish.frames_per_s, anchor_ns=wish.anchor_ns, keyframes_only=wish.keyframes_only)
        if self._sampler.sampling != was:
            self._needs_keyframe = True

    def open_stream(self, opened: OpenStream) -> None:
        """A connection begins."""
        self._units.clear()
        self._opening = None
        self._excused_ns = self._clock_ns()
        self._connection = opened.connection
        self._needs_keyframe = True
        self._sampler = self._sampler_for(opened.info.codec)
        try:
            self._decoder = self._make_decoder(opened.info)
            self.state, self._message = "before_keyframe", ""
        except SourceError as exc:
            self._decoder = None
            self.state, self._message = "not_decodable", str(exc)

    def push(self, unit: AccessUnit) -> None:
        """A unit came."""
        if unit.connection != self._connection or self._decoder is None:
            return
        now_ns = self._clock_ns()
        if self._decoder.is_opening:
            self._excused_ns = now_ns
            if unit.is_keyframe:
                self._late += len(self._units)
                self._units.clear()
                self._opening = None
                self._needs_keyframe = True
        elif self._units:
            waited_s = (now_ns - max(self._units[0].arrived_ns, self._excused_ns)) / 1e9
            if (unit.is_keyframe and waited_s > LATE_S) or waited_s > HOPELESS_S:
                self._late += len(self._units)
                self._units.clear()
                self._needs_keyframe, self.state = True, "behind"
                self._behind_until_ns = now_ns + BEHIND_NS
        self._units.append(unit)

    def step(self) -> DueFrame | None:
        """Decode the oldest waiting unit, if it must be; what to tell the owner."""
        opened_with, self._opening = self._opening, None
        if opened_with is not None and self._decoder is not None:
            return self._decode(self._decoder, opened_with)
        unit = self._units.popleft()
        if self._decoder is None:
            return None
        if unit.is_after_loss and not unit.is_keyframe:
            self._fail("packets of it were lost on the way")
        if self._needs_keyframe and not unit.is_keyframe:
            self._passed_over += 1
            return None
        before = self._sampler.sampling
        to_decode, is_wanted = self._sampler.decide(unit)
        if before == "keyframes" != self._sampler.sampling and not unit.is_keyframe:
            self._needs_keyframe = True
            return None
        if not to_decode:
            self._passed_over += 1
            return None
        self._needs_keyframe = False
        if is_wanted:
            self._wanted_ns[unit.captured_ns] = None
            if len(self._wanted_ns) > MAX_WANTED:
                self._wanted_ns.popitem(last=False)
        return self._decode(self._decoder, unit)

    def _decode(self, decoder: PictureDecoder[PictureT], unit: AccessUnit) -> DueFrame | None:
        try:
            decoded = decoder.decode(unit)
        except SourceError as exc:
            self._fail(str(exc))
            return None
        if decoded is None:
            self._opening = unit if decoder.is_opening else None
            return None
        picture, unit = decoded.picture, decoded.unit
        is_wanted = unit.captured_ns in self._wanted_ns
        self._wanted_ns.pop(unit.captured_ns, None)
        self._decoded += 1
        now_ns = self._clock_ns()
        if now_ns - unit.arrived_ns > STALE_S * 1e9:
            if unit.arrived_ns <= self._excused_ns:
                return None  # frames that are due meanwhile have no picture for the reason that the state still tells
            is_wanted = False
            self._behind_until_ns = now_ns + BEHIND_NS
        self.state = "behind" if now_ns < self._behind_until_ns else "ok"
        self._message = "more pictures come than this machine can decode" if self.state == "behind" else ""
        if not is_wanted:
            return None
        self._sequence += 1
        told = DueFrame(
            camera=self.name,
            sequence=self._sequence,
            captured_ns=unit.captured_ns,
            arrived_ns=unit.arrived_ns,
            decoded_ns=now_ns,
            clock=unit.clock,
            size_wh=picture.size_wh,
            connection=unit.connection,
        )
        self.held = (picture, told)
        return told

    def report(self) -> DecodeReport:
        """The camera now."""
        return DecodeReport(
            camera=self.name,
            state=self.state,
            message=self._message,
            size_wh=self.held[1].size_wh if self.held else None,
            sampling=self._sampler.sampling,
            decoded=self._decoded,
            passed_over=self._passed_over,
            failed=self._failed,
            late=self._late,
        )

    def _sampler_for(self, codec: str) -> Sampler:
        wish = self._wish
        return Sampler(wish.frames_per_s, codec=codec, anchor_ns=wish.anchor_ns, keyframes_only=wish.keyframes_only)

    def _fail(self, why: str) -> None:
        """A picture cannot be had: those that need it would be wrong, so the next keyframe begins anew."""
        self._failed += 1
        self._needs_keyframe = True
        self.state, self._message = "not_decodable", why
