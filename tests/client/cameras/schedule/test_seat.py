"""Due frames of one camera: each picture serves one, and what no picture serves is lost for one cause."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from photofinish.client.cameras.schedule.due import DueSchedule
from photofinish.client.cameras.schedule.seat import CameraSeat, phase_ns
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame
from photofinish.client.cameras.values.status import IngestPhase, IngestReport
from photofinish.client.cameras.wire.messages import DecodeReport, DecodeState

MS = 10**6
PLAYING = IngestReport(camera="door", phase=IngestPhase.PLAYING, connections=1, pictures=5)


def seat_at_5_fps(**fields: object) -> CameraSeat:
    camera = Camera(**{"name": "door", "url": "rtsp://cam", **fields})  # type: ignore[arg-type]
    seat = CameraSeat(camera, -phase_ns(camera))
    seat.hear_ingest(PLAYING)
    seat.decode = DecodeReport(camera="door", state="ok")
    return seat


def frame(sequence: int, at_ms: float) -> DueFrame:
    at_ns = round(at_ms * MS)
    return DueFrame(
        camera="door",
        sequence=sequence,
        captured_ns=at_ns,
        arrived_ns=at_ns,
        decoded_ns=at_ns,
        clock="arrival",
        size_wh=(64, 64),
    )


def serve(seat: CameraSeat, now_ms: float) -> int | None:
    """Send what waits, as a batch would."""
    waiting = seat.begin_writing()
    tick = seat.written(waiting.frame if waiting else None)
    if tick is not None:
        seat.close_inferred(tick, 10 * MS, round(now_ms * MS))
    return tick


def drops(seat: CameraSeat) -> dict[str, int]:
    return {cause.value: count for cause, count in seat.account.count().dropped.items()}


@pytest.mark.parametrize("fps", [0.2, 1, 4.9, 5, 29.97, 60])
def test_ticks_come_by_the_clock_alone(fps: float) -> None:
    schedule = DueSchedule(1000, fps)
    times = [schedule.time_ns(tick) for tick in range(2000)]
    for tick, time_ns in enumerate(times):
        assert schedule.due_by(time_ns - 1) == tick
        assert schedule.due_by(time_ns) == tick + 1
    assert times[1000] == pytest.approx(1000 + 1000 * 1e9 / fps, abs=1)
    schedule.change(times[10] + 1, 2 * fps)
    assert [schedule.time_ns(tick) for tick in (11, 12)] == [times[11], times[11] + round(0.5e9 / fps)]


def test_a_camera_of_just_the_wanted_rate_loses_nothing_by_its_jitter() -> None:
    seat = seat_at_5_fps()
    now_ms = 0.0
    for number in range(500):
        at_ms = 130 + 200 * number + (90 if number % 3 == 0 else 0)
        while now_ms < at_ms:
            now_ms += 20
            seat.advance(round(now_ms * MS))
        seat.take(frame(number, now_ms), round(now_ms * MS))
        serve(seat, now_ms)
    count = seat.account.count()
    assert count.inferred == 500
    assert count.dropped_total == 0


def test_a_dead_camera_loses_everything_for_its_cause() -> None:
    seat = seat_at_5_fps()
    seat.hear_ingest(replace(PLAYING, phase=IngestPhase.WAITING))
    for now_ms in range(0, 10_001, 20):
        seat.advance(now_ms * MS)
    count = seat.account.count()
    assert (count.due, count.inferred) == (51, 0)
    assert count.pending <= 4
    assert drops(seat) == {"not_connected": count.due - count.pending}
    seat.stop()
    assert drops(seat)["stopped"] == count.pending
    assert seat.account.count().pending == 0


@pytest.mark.parametrize(
    ("phase", "state", "pictures", "cause"),
    [
        (IngestPhase.CONNECTING, "ok", 9, "not_connected"),
        (IngestPhase.STALLED, "ok", 9, "stalled"),
        (IngestPhase.PLAYING, "ok", 9, "stalled"),
        (IngestPhase.PLAYING, "not_decodable", 9, "not_decodable"),
        (IngestPhase.PLAYING, "before_keyframe", 9, "before_keyframe"),
        (IngestPhase.PLAYING, "before_keyframe", 5, "stalled"),
        (IngestPhase.PLAYING, "behind", 9, "too_old"),
    ],
)
def test_the_cause_is_what_was_wrong(phase: IngestPhase, state: DecodeState, pictures: int, cause: str) -> None:
    seat = seat_at_5_fps()
    seat.hear_ingest(replace(PLAYING, phase=phase, pictures=pictures))
    seat.decode = DecodeReport(camera="door", state=state)
    seat.advance(0)
    seat.advance(600 * MS)
    assert drops(seat) == {cause: 1}
    seat.is_decoded = False
    seat.advance(5000 * MS)
    assert drops(seat)["not_decodable"] > 0


def test_the_newest_picture_wins_and_the_old_one_is_counted() -> None:
    seat = seat_at_5_fps()
    seat.advance(250 * MS)
    seat.take(frame(1, 200), 250 * MS)
    seat.take(frame(2, 250), 250 * MS)
    assert drops(seat) == {"superseded": 1}
    assert seat.waiting is not None
    assert seat.waiting.frame.sequence == 2


def test_pictures_that_come_together_are_no_overload() -> None:
    """A camera that sends in bursts, or a box that was stalled: no server could have had the first one."""
    seat = seat_at_5_fps()
    seat.advance(450 * MS)
    seat.take(frame(1, 50), 450 * MS)
    seat.take(frame(2, 250), 452 * MS)
    assert (drops(seat), seat.overloaded) == ({"superseded": 1}, 0)
    seat.take(frame(3, 450), 650 * MS)
    assert (drops(seat), seat.overloaded) == ({"superseded": 2}, 1)


def test_a_picture_that_is_nearly_due_waits_for_nothing() -> None:
    seat = seat_at_5_fps()
    for number in range(50):
        at_ms = 200 * number - 80
        seat.advance(at_ms * MS)
        seat.take(frame(number, at_ms), at_ms * MS)
        assert serve(seat, at_ms) == number
    seat.advance(199 * 50 * MS)
    count = seat.account.count()
    assert (count.due, count.inferred, count.dropped_total) == (50, 50, 0)


@pytest.mark.parametrize("after_ms", [0, 5, 19, 90])
def test_a_picture_just_after_its_tick_serves_it(after_ms: int) -> None:
    """Whoever asks every 20 ms has not made the tick due yet: cameras of such a phase lost every frame."""
    seat = seat_at_5_fps()
    for number in range(50):
        at_ms = 200 * number + after_ms
        seat.take(frame(number, at_ms), at_ms * MS)
        serve(seat, at_ms)
        seat.advance((at_ms + 10) * MS)
    count = seat.account.count()
    assert (count.inferred, count.dropped_total) == (50, 0)


def test_a_decoder_may_write_a_newer_picture_than_was_asked_for() -> None:
    seat = seat_at_5_fps()
    seat.advance(250 * MS)
    seat.take(frame(1, 200), 250 * MS)
    seat.begin_writing()
    seat.take(frame(2, 250), 250 * MS)
    assert not seat.is_ready, "one picture of a camera is on its way at a time"
    tick = seat.written(frame(2, 250))
    assert tick is not None
    seat.close_inferred(tick, MS, 260 * MS)
    assert drops(seat) == {"superseded": 1}
    assert seat.waiting is None


def test_what_waits_too_long_is_dropped_and_what_the_server_loses_is_its_fault() -> None:
    seat = seat_at_5_fps(max_age_s=0.3)
    seat.advance(0)
    seat.take(frame(1, 0), 0)
    seat.advance(301 * MS)
    assert drops(seat) == {"too_old": 1}
    assert seat.overloaded == 1
    seat.is_served = False
    seat.take(frame(2, 301), 301 * MS)
    seat.advance(700 * MS)
    assert drops(seat)["server_failed"] == 1
    assert seat.overloaded == 1, "which is no overload of this machine"


def test_degraded_steps_leave_out_what_they_say() -> None:
    seat = seat_at_5_fps()
    seat.step = "halved"
    seat.advance(1999 * MS)
    assert drops(seat)["degraded"] == 5
    seat = seat_at_5_fps()
    seat.step = "paused"
    seat.advance(1999 * MS)
    seat.take(frame(1, 1999), 1999 * MS)
    assert drops(seat) == {"degraded": 10}
    assert seat.waiting is None


def test_a_camera_that_shares_decoders_is_left_out_on_purpose_between_keyframes() -> None:
    seat = seat_at_5_fps()
    seat.way, seat.pool_sessions = "pool", 4
    assert (seat.wish().keyframes_only, seat.wish().pool_sessions) == (True, 4)
    seat.advance(1999 * MS)
    seat.take(frame(1, 1999), 1999 * MS)
    assert seat.waiting is not None
    assert set(drops(seat)) == {"degraded"}
    assert seat.take_load().overloaded == 0
    seat = seat_at_5_fps()
    seat.way, seat.decode = "pool", DecodeReport(camera="door", state="not_decodable")
    seat.advance(1999 * MS)
    assert set(drops(seat)) == {"not_decodable"}, "what is wrong is not hidden"
    seat.way = "gpu"
    assert (seat.wish().keyframes_only, seat.wish().pool_sessions) == (False, 0)


def test_what_decoding_was_too_slow_for_is_told_apart_from_what_the_server_was() -> None:
    seat = seat_at_5_fps()
    seat.decode = DecodeReport(camera="door", state="behind")
    seat.advance(1999 * MS)
    load = seat.take_load()
    assert load.behind == load.overloaded > 3
    seat = seat_at_5_fps()
    seat.advance(0)
    seat.take(frame(1, 0), 0)
    seat.advance(100 * MS)
    seat.take(frame(2, 200), 200 * MS)
    load = seat.take_load()
    assert (load.behind, load.overloaded) == (0, 1)


def test_a_seat_with_nothing_to_do_is_looked_at_for_nothing_until_its_next_frame_is_due() -> None:
    seat = seat_at_5_fps()
    seat.take(frame(1, 0), 0)
    serve(seat, 5)
    seat.take_load()
    seat.advance(199 * MS)
    assert not seat.has_load
    seat.advance(200 * MS)
    assert seat.take_load().due == 1
    seat.take(frame(2, 201), 201 * MS)
    serve(seat, 205)
    seat.change_rate(210 * MS, 50)
    seat.take_load()
    seat.advance(450 * MS)
    assert seat.take_load().due == 3, "400, 420 and 440 ms"


def test_many_cameras_are_not_due_in_one_moment() -> None:
    cameras = [Camera(name=f"test-{number:03d}", url="rtsp://cam", frames_per_s=0.1) for number in range(70)]
    phases = sorted(phase_ns(camera) / 1e9 for camera in cameras)
    assert phases[0] < 1
    assert 9 < phases[-1] < 10
    assert max(later - earlier for earlier, later in itertools.pairwise(phases)) < 1.5


def test_a_seldom_frame_is_a_fresh_one() -> None:
    """A picture from long before its time would be too old when it is due."""
    seat = seat_at_5_fps(frames_per_s=0.1)
    seat.advance(0)
    seat.take(frame(1, 0), 0)
    serve(seat, 0)
    seat.take(frame(2, 7000), 7000 * MS)
    seat.advance(10_001 * MS)
    assert seat.waiting is None
    seat.take(frame(3, 10_400), 10_400 * MS)
    assert seat.waiting is not None
    assert (seat.waiting.tick, seat.wish().anchor_ns) == (1, 0)


def test_percentiles_need_their_samples() -> None:
    seat = seat_at_5_fps()
    assert seat.percentiles_ms() == (None, None, None)
    seat.account.open_up_to(700)
    for tick in range(700):
        seat.close_inferred(tick, (tick + 1) * MS, tick * 200 * MS)
    assert seat.percentiles_ms() == (350, 665, 693)
    assert seat.served_fps(699 * 200 * MS) == pytest.approx(5, abs=0.3)


def test_the_cause_values_are_labels() -> None:
    assert {cause.value for cause in CameraDropCause} == {
        *("not_connected", "stalled", "not_decodable", "before_keyframe", "superseded", "too_old", "degraded"),
        *("server_failed", "stopped"),
    }
