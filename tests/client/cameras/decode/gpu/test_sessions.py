"""A decoder's life on a GPU: opened in turn, kept through reconnections, opened again after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from photofinish.client.cameras.decode.gpu.device import PlainSurface, SessionLimitError, StreamFacts, Surface
from photofinish.client.cameras.decode.gpu.opening import Opening, SessionOpener, SessionTrial
from photofinish.client.cameras.decode.gpu.sessions import SessionDecoder
from photofinish.client.cameras.rtsp.nal import annex_b_from_units, h264_kind, nal_units
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.errors import SourceError
from tests.client.cameras.decode.test_camera import CLIPS, units_of

UNITS = list(units_of(CLIPS["h264"]))
INFO = StreamInfo(codec="h264")
KEYFRAMES = [number for number, unit in enumerate(UNITS) if unit.is_keyframe]


def surface_of(number: int) -> Surface:
    return PlainSurface(luma=1, chroma=2, luma_pitch=3, chroma_pitch=4, size_wh=(160, 96), number=number)


class FakeSession:
    def __init__(self, lane: FakeLane) -> None:
        self.lane = lane
        self.is_closed = False
        self.waiting: list[int] = []

    def decode(self, data: bytes, number: int) -> Sequence[Surface]:
        if self.lane.failures:
            raise self.lane.failures.pop(0)
        self.lane.numbers.append(number)
        self.lane.data.append(data)
        self.waiting.append(number)
        if len(self.waiting) <= self.lane.delay:
            return ()
        return (surface_of(self.waiting.pop(0)),)

    def flush(self) -> Sequence[Surface]:
        shown, self.waiting = self.waiting, []
        return [surface_of(number) for number in shown]

    def close(self) -> None:
        self.is_closed = True


class FakeLane:
    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.numbers: list[int] = []
        self.data: list[bytes] = []
        self.facts: list[StreamFacts] = []
        self.sessions: list[FakeSession] = []
        self.delay = 0

    def open_session(self, facts: StreamFacts) -> FakeSession:
        self.facts.append(facts)
        self.sessions.append(FakeSession(self))
        return self.sessions[-1]


class FakeDevice:
    name = "fake"

    def lacks(self, facts: StreamFacts) -> str:
        return ""


class Bench:
    """A decoder with its opener, and a clock that stands."""

    def __init__(self) -> None:
        self.lane = FakeLane()
        self.done: list[Any] = []
        self.opener = SessionOpener(FakeDevice(), self.done.append)  # type: ignore[arg-type]
        self.now_s = 100.0
        self.decoder = self.decoder_with(0)

    def decoder_with(self, priority: int) -> SessionDecoder:
        return SessionDecoder(INFO, self.lane, self.opener, priority, clock=lambda: self.now_s)  # type: ignore[arg-type]

    def settle(self, count: int = 1) -> None:
        wait_for(lambda: len(self.done) >= count)
        for decoder in self.done:
            decoder.opened()
        self.done.clear()

    def open(self, unit: AccessUnit = UNITS[0]) -> None:
        assert self.decoder.decode(unit) is None
        self.settle()


def wait_for(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.002)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.opener.close()


def test_a_keyframe_opens_the_session_and_each_picture_has_its_unit(bench: Bench) -> None:
    with pytest.raises(SourceError, match="waits for a keyframe"):
        bench.decoder.decode(UNITS[1])
    assert bench.decoder.decode(UNITS[0]) is None
    assert bench.decoder.is_opening
    bench.settle()
    assert not bench.decoder.is_opening
    assert bench.lane.facts == [StreamFacts(codec="h264", size_wh=(160, 96))]
    assert bench.opener.open_count == 1
    found = [bench.decoder.decode(unit) for unit in UNITS[:4]]
    assert [item.unit for item in found if item] == UNITS[:4], "the keyframe's picture was there already"
    assert bench.lane.numbers == [0, 1, 2, 3]


def test_a_keyframe_whose_picture_did_not_come_as_it_opened_the_session_is_decoded_once_more(bench: Bench) -> None:
    bench.lane.delay = 1
    bench.open()
    found = bench.decoder.decode(UNITS[0])
    assert found is not None
    assert found.unit is UNITS[0]
    assert bench.lane.numbers == [0, 1]


def test_reordered_pictures_keep_their_own_units(bench: Bench) -> None:
    bench.lane.delay = 2
    bench.open()
    found = [bench.decoder.decode(unit) for unit in UNITS[1:6]]
    assert found[0] is None
    assert [item.unit for item in found if item] == UNITS[:4], "the first is the keyframe that opened the session"


def test_pictures_captured_out_of_order_have_it_opened_for_reordering(bench: Bench) -> None:
    bench.open()
    for shown in (2, 1, 4, 3, 6):
        bench.decoder.decode(replace(UNITS[1], captured_ns=UNITS[shown].captured_ns))
    with pytest.raises(SourceError, match="another order"):
        bench.decoder.decode(replace(UNITS[1], captured_ns=UNITS[5].captured_ns))
    assert bench.lane.sessions[0].is_closed
    bench.now_s += 1.1
    bench.open(UNITS[KEYFRAMES[1]])
    assert [facts.is_reordered for facts in bench.lane.facts] == [False, True]
    bench.lane.delay, decoded = 1, len(bench.lane.numbers)
    assert bench.decoder._first is not None
    bench.decoder._first = None  # as where pictures wait for those behind them
    assert bench.decoder.decode(UNITS[KEYFRAMES[1]]) is None
    assert len(bench.lane.numbers) == decoded, "it is not decoded twice: its picture comes with those behind it"


def test_a_failed_decoder_is_opened_again_at_a_keyframe_once_a_second_at_most(bench: Bench) -> None:
    bench.open()
    bench.lane.failures = [SourceError("the GPU's decoder failed: x")]
    with pytest.raises(SourceError, match="failed: x"):
        bench.decoder.decode(UNITS[1])
    assert bench.lane.sessions[0].is_closed
    assert bench.opener.open_count == 0
    with pytest.raises(SourceError, match=r"failed: x; tried again in 1\.0 s"):
        bench.decoder.decode(UNITS[KEYFRAMES[1]])
    bench.now_s += 1.1
    bench.open(UNITS[KEYFRAMES[1]])
    assert len(bench.lane.sessions) == 2
    assert bench.decoder.decode(UNITS[KEYFRAMES[1] + 1]) is not None
    assert bench.decoder.refusal is None


def test_one_that_cannot_be_opened_three_times_is_left_to_others(bench: Bench) -> None:
    for attempt in range(3):
        assert bench.decoder.refusal is None, attempt
        bench.lane.failures = [SourceError("broken")]
        bench.open(UNITS[0])
        bench.now_s += 1.1
    assert bench.decoder.refusal is not None
    assert bench.decoder.refusal.reason == "the GPU failed on it 3 times: broken"
    assert bench.decoder.refusal.sessions is None


def test_one_that_fails_after_each_opening_is_left_to_others_too(bench: Bench) -> None:
    for _ in range(3):
        bench.open()
        bench.lane.failures = [SourceError("broken")]
        with pytest.raises(SourceError, match="broken"):
            bench.decoder.decode(UNITS[1])
        bench.now_s += 1.1
    assert bench.decoder.refusal is not None
    assert bench.decoder.refusal.reason == "the GPU failed on it 3 times: broken"


def test_one_that_takes_pictures_and_gives_none_has_failed(bench: Bench) -> None:
    bench.lane.delay = 1000
    bench.open()
    for _ in range(32):
        assert bench.decoder.decode(UNITS[1]) is None
    with pytest.raises(SourceError, match="gives none"):
        bench.decoder.decode(UNITS[1])
    assert bench.lane.sessions[0].is_closed


def test_a_stream_whose_description_alone_has_parameter_sets_has_them_before_each_keyframe(bench: Bench) -> None:
    """FFmpeg's own reader leaves them there: a GPU's decoder would take every picture and give none."""
    sets, picture = parts_of(UNITS[0].data)
    bench.decoder = SessionDecoder(
        replace(INFO, extradata=sets),
        bench.lane,
        bench.opener,
        clock=lambda: bench.now_s,  # type: ignore[arg-type]
    )
    bench.open(replace(UNITS[0], data=picture))
    bench.decoder.decode(UNITS[1])
    bench.decoder.decode(replace(UNITS[KEYFRAMES[1]], data=picture))
    assert bench.lane.data == [sets + picture, UNITS[1].data, sets + picture]
    assert bench.opener.open_count == 1


def parts_of(data: bytes) -> tuple[bytes, bytes]:
    """Parameter sets and the rest of a keyframe."""
    units = list(nal_units(data))
    sets = [unit for unit in units if h264_kind(unit).is_parameter]
    assert sets
    return annex_b_from_units(sets), annex_b_from_units(unit for unit in units if unit not in sets)


def test_more_sessions_are_tried_without_a_camera(bench: Bench) -> None:
    tried: list[int] = []
    bench.opener.try_more(SessionTrial(2, tried.append))
    wait_for(lambda: len(tried) == 1)
    bench.open()
    bench.opener.try_more(SessionTrial(2, tried.append))
    wait_for(lambda: len(tried) == 2)
    bench.lane.failures = [SessionLimitError("no more")]
    bench.opener.try_more(SessionTrial(2, tried.append))
    wait_for(lambda: len(tried) == 3)
    assert tried == [0, 2, 0], "without a keyframe none; then all; then what the GPU refuses"
    assert [session.is_closed for session in bench.lane.sessions] == [False, True, True, True]
    assert bench.opener.open_count == 1
    assert bench.decoder.decode(UNITS[1]) is not None


def test_what_ends_the_opener_by_mistake_is_told_and_how_long_it_takes() -> None:
    crashes: list[BaseException] = []
    begun, go = threading.Event(), threading.Event()

    class Broken(FakeLane):
        def open_session(self, facts: StreamFacts) -> FakeSession:
            begun.set()
            go.wait(60)
            raise KeyError("width_min")

    now_s = [100.0]
    opener = SessionOpener(FakeDevice(), print, crashes.append, lambda: now_s[0])  # type: ignore[arg-type]
    assert opener.busy_s == 0
    SessionDecoder(INFO, Broken(), opener).decode(UNITS[0])  # type: ignore[arg-type]
    assert begun.wait(60)
    now_s[0] += 20
    assert opener.busy_s == 20
    go.set()
    wait_for(lambda: bool(crashes))
    assert isinstance(crashes[0], KeyError)


def test_the_last_session_is_found_by_the_gpu_refusing_one_more(bench: Bench) -> None:
    bench.open()
    other = bench.decoder_with(0)
    bench.lane.failures = [SessionLimitError("no more")]
    other.decode(UNITS[0])
    bench.settle()
    assert other.refusal is not None
    assert other.refusal.sessions == 1
    assert bench.lane.sessions[1].is_closed
    with pytest.raises(SourceError, match="no more"):
        other.decode(UNITS[0])


def test_a_reconnection_keeps_the_session_and_another_stream_does_not(bench: Bench) -> None:
    bench.open()
    assert bench.decoder.continues(INFO)
    assert not bench.decoder.continues(StreamInfo(codec="hevc"))
    assert bench.decoder.decode(UNITS[KEYFRAMES[1]]) is not None
    assert len(bench.lane.sessions) == 1
    larger = next(iter(units_of(CLIPS["hevc"])))
    other = replace(UNITS[0], data=UNITS[0].data.replace(b"\x67", b"\x67\x01", 1))
    assert larger.is_keyframe
    assert bench.decoder.decode(other) is None, "its parameter sets are others"
    assert bench.decoder.is_opening
    bench.settle()


def test_important_cameras_come_first(bench: Bench) -> None:
    order, begun, go = [], threading.Event(), threading.Event()

    class Slow(SessionDecoder):
        def open_now(self, unit: AccessUnit) -> None:
            begun.set()
            go.wait(60)
            order.append(self._priority)

    decoders = [Slow(INFO, bench.lane, bench.opener, priority) for priority in (0, 1, 5, 3)]  # type: ignore[arg-type]
    bench.opener.ask(Opening(decoders[0], UNITS[0]), 0)
    assert begun.wait(60)
    for decoder, priority in zip(decoders[1:], (1, 5, 3), strict=True):
        bench.opener.ask(Opening(decoder, UNITS[0]), priority)
    go.set()
    wait_for(lambda: len(bench.done) == 4)
    assert order == [0, 5, 3, 1]
