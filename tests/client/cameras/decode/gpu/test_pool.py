"""Sessions that cameras share for keyframes: whose picture it is, how many there are, and who is turned away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from photofinish.client.cameras.decode.gpu.device import SessionLimitError, StreamFacts
from photofinish.client.cameras.decode.gpu.opening import SessionOpener
from photofinish.client.cameras.decode.gpu.pool import KeyframePool, PooledDecoder
from photofinish.client.cameras.values.access_unit import StreamInfo
from photofinish.errors import SourceError
from tests.client.cameras.decode.gpu.test_sessions import INFO, KEYFRAMES, UNITS, FakeDevice, FakeLane, parts_of
from tests.client.cameras.decode.test_camera import CLIPS, units_of

HEVC = StreamInfo(codec="hevc")
KEY = UNITS[0]
HEVC_KEY = next(iter(units_of(CLIPS["hevc"])))


class Bench:
    def __init__(self) -> None:
        self.lane = FakeLane()
        self.opener = SessionOpener(FakeDevice(), print)  # type: ignore[arg-type]
        self.now_s = 100.0
        self.pool = KeyframePool(self.lane, self.opener, lambda: self.now_s)  # type: ignore[arg-type]

    def decoder(self, info: StreamInfo = INFO) -> PooledDecoder:
        return PooledDecoder(info, self.pool)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.opener.close()


def test_cameras_of_one_kind_share_one_session_and_each_has_its_own_picture(bench: Bench) -> None:
    decoders = [bench.decoder() for _ in range(5)]
    units = [replace(KEY, camera=str(number)) for number in range(5)]
    found = [decoder.decode(unit) for decoder, unit in zip(decoders, units, strict=True)]
    assert [item.unit for item in found if item] == units
    assert len({item.picture.number for item in found if item}) == 5
    assert (len(bench.lane.sessions), bench.opener.open_count) == (1, 1)
    assert decoders[0].decode(UNITS[1]) is None, "nothing but keyframes"
    assert len(bench.lane.numbers) == 5


def test_a_session_that_holds_pictures_back_is_flushed_and_gives_nobody_anothers(bench: Bench) -> None:
    """Streams with B frames: what comes out when another camera's keyframe goes in is the one before."""
    bench.lane.delay = 1
    first, second = bench.decoder(), bench.decoder()
    for decoder in (first, second, first):
        found = decoder.decode(KEY)
        assert found is not None
        assert found.picture.number == bench.lane.numbers[-1]
    assert len(bench.lane.sessions) == 1
    bench.lane.sessions[0].flush = lambda: ()  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="no picture by itself"):
        second.decode(KEY)
    assert bench.lane.sessions[0].is_closed, "what waits in it would be given to somebody else"


def test_sessions_are_few_opened_slowly_and_the_oldest_makes_room(bench: Bench) -> None:
    bench.pool.size = 1
    h264, hevc = bench.decoder(), bench.decoder(HEVC)
    assert h264.decode(KEY)
    assert hevc.decode(HEVC_KEY) is None, "one a second"
    assert h264.decode(KEY)
    bench.now_s += 1.1
    assert hevc.decode(HEVC_KEY)
    assert [session.is_closed for session in bench.lane.sessions] == [True, False]
    assert bench.opener.open_count == 1
    bench.pool.size = 2
    bench.now_s += 1.1
    assert h264.decode(KEY)
    assert hevc.decode(HEVC_KEY)
    assert bench.opener.open_count == 2


def test_sessions_are_given_back_when_nobody_needs_them(bench: Bench) -> None:
    first, second = bench.decoder(), bench.decoder()
    assert first.decode(KEY)
    assert second.decode(KEY)
    first.close()
    assert bench.opener.open_count == 1
    second.close()
    assert bench.opener.open_count == 0
    assert bench.lane.sessions[0].is_closed


def test_a_camera_that_breaks_sessions_leaves_and_the_others_stay(bench: Bench) -> None:
    good, bad = bench.decoder(), bench.decoder()
    assert good.decode(KEY)
    for _ in range(3):
        assert bad.refusal is None
        bench.lane.failures = [SourceError("broken")]
        with pytest.raises(SourceError, match="broken"):
            bad.decode(KEY)
        bench.now_s += 1.1
        assert good.decode(KEY)
    assert bad.refusal is not None
    assert (bad.refusal.reason, bad.refusal.sessions) == ("the GPU failed on it 3 times: broken", None)
    assert good.refusal is None


def test_a_gpu_without_a_session_for_the_pool_says_how_many_it_has(bench: Bench) -> None:
    bench.opener.count(7)
    decoder = bench.decoder()
    for _ in range(3):
        bench.lane.failures = [SessionLimitError("no more than 7")]
        with pytest.raises(SessionLimitError):
            decoder.decode(KEY)
        bench.now_s += 1.1
    assert decoder.refusal is not None
    assert (decoder.refusal.reason, decoder.refusal.sessions) == ("no more than 7", 7)


def test_another_stream_is_looked_at_again_and_parameter_sets_are_put_before_it(bench: Bench) -> None:
    decoder = bench.decoder()
    assert decoder.decode(KEY)
    assert decoder.facts == StreamFacts(codec="h264", size_wh=(160, 96))
    assert decoder.continues(INFO)
    assert not decoder.continues(HEVC)
    sets, picture = parts_of(UNITS[KEYFRAMES[1]].data)
    described = bench.decoder(replace(INFO, extradata=sets))
    assert described.decode(replace(KEY, data=picture))
    assert bench.lane.data[-1] == sets + picture
