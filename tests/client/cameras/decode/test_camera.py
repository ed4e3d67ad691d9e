"""One camera's decoding: at once, as little as possible, from a keyframe on, and never a picture that is wrong."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from photofinish.client.cameras.decode import codec as codecs
from photofinish.client.cameras.decode.camera import DecodedCamera
from photofinish.client.cameras.decode.codec import CpuDecoder, CpuPicture
from photofinish.client.cameras.decode.sampling import RateBucket
from photofinish.client.cameras.decode.writing import RegionMaps, write_held_frame
from photofinish.client.cameras.rtsp.assembly import PictureAssembler
from photofinish.client.cameras.rtsp.rtp import RtpPacket
from photofinish.client.cameras.streams.clip import Clip, ClipCodec, clip_from_images
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import DecodeCamera, OpenStream, WriteFrame
from photofinish.client.native.library import native_client
from photofinish.client.triton.tensors import write_input
from photofinish.errors import SourceError
from tests.client.cameras.streams.test_server import moving_clip

CLIPS = {codec: moving_clip(codec, count=40) for codec in ("h264", "hevc")}


def units_of(clip: Clip, fps: float = 25, connection: int = 1) -> Iterator[AccessUnit]:
    assembler = PictureAssembler(clip.codec)
    sequence = 0
    now_ns = time.perf_counter_ns()
    for number, picture in enumerate(clip.pictures):
        for at, payload in enumerate(picture.payloads):
            packet = RtpPacket(at == len(picture.payloads) - 1, 96, sequence, number, 1, payload)
            sequence += 1
            for coded in assembler.push(packet):
                yield AccessUnit(
                    camera="door",
                    connection=connection,
                    data=coded.data,
                    captured_ns=now_ns + round(number * 1e9 / fps),
                    arrived_ns=now_ns,
                    clock="arrival",
                    is_keyframe=coded.is_keyframe,
                    is_reference=coded.is_reference,
                )


def camera_for(clip: Clip, fps: float = 25, *, keyframes_only: bool = False) -> DecodedCamera[CpuPicture]:
    camera = DecodedCamera(DecodeCamera(camera="door", frames_per_s=fps, keyframes_only=keyframes_only), CpuDecoder)
    camera.open_stream(OpenStream(camera="door", connection=1, info=StreamInfo(codec=clip.codec)))
    return camera


def told(camera: DecodedCamera[CpuPicture], units: Iterator[AccessUnit]) -> list[DueFrame | None]:
    found = []
    for unit in units:
        camera.push(unit)
        while camera.has_work:
            found.append(camera.step())
    return found


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_each_picture_is_there_with_its_own_unit(codec: str) -> None:
    camera = camera_for(CLIPS[codec])
    found = told(camera, units_of(CLIPS[codec]))
    assert len(found) == 40
    assert all(found), "none may wait for the next one"
    assert [item.sequence for item in found if item] == list(range(1, 41))
    assert {item.size_wh for item in found if item} == {(160, 96)}
    assert camera.report().state == "ok"


@pytest.mark.parametrize(("fps", "wanted", "decoded", "sampling"), [(5, 8, 40, "all"), (2.5, 4, 4, "keyframes")])
def test_no_more_is_decoded_than_is_needed(fps: float, wanted: int, decoded: int, sampling: str) -> None:
    """A keyframe comes every 0.4 s: 2.5 pictures a second are had from those alone, but for the first group."""
    camera = camera_for(CLIPS["h264"], fps)
    found = [item for item in told(camera, units_of(CLIPS["h264"])) if item]
    assert len(found) == pytest.approx(wanted, abs=1)
    assert camera.report().sampling == sampling
    assert camera.report().decoded <= decoded + 10


def test_pictures_that_nobody_needs_are_passed_over() -> None:
    camera = camera_for(CLIPS["h264"], 5)
    units = [
        replace(unit, is_reference=False) if number % 2 else unit for number, unit in enumerate(units_of(CLIPS["h264"]))
    ]
    told(camera, iter(units))
    assert camera.report().sampling == "reference"
    assert camera.report().passed_over >= 12


def test_a_pause_ends_at_a_keyframe() -> None:
    camera = camera_for(CLIPS["h264"])
    units = list(units_of(CLIPS["h264"]))
    assert all(told(camera, iter(units[:5])))
    camera.change(DecodeCamera(camera="door", frames_per_s=0))
    assert not any(told(camera, iter(units[5:15])))
    assert camera.report().decoded == 5
    camera.change(DecodeCamera(camera="door", frames_per_s=25))
    found = told(camera, iter(units[15:25]))
    assert [item is not None for item in found] == [False] * 5 + [True] * 5


def test_nothing_before_the_first_keyframe_and_nothing_after_a_loss() -> None:
    camera = camera_for(CLIPS["h264"])
    units = list(units_of(CLIPS["h264"]))
    assert not any(told(camera, iter(units[3:10])))
    assert camera.report().state == "before_keyframe"
    assert all(told(camera, iter(units[10:13])))
    assert not any(told(camera, iter([replace(units[13], is_after_loss=True), *units[14:20]])))
    assert camera.report().state == "not_decodable"
    assert camera.report().message == "packets of it were lost on the way"
    assert all(told(camera, iter(units[20:25])))


def test_garbage_is_one_camera_that_cannot_be_decoded() -> None:
    camera = camera_for(CLIPS["h264"])
    rng = np.random.default_rng(0)
    spoilt = [replace(unit, data=b"\0\0\0\1\x65" + rng.bytes(400)) for unit in units_of(CLIPS["h264"])]
    assert not any(told(camera, iter(spoilt)))
    assert camera.report().state in ("not_decodable", "before_keyframe")
    assert camera.report().failed > 0
    later = (replace(unit, captured_ns=unit.captured_ns + 2 * 10**9) for unit in units_of(CLIPS["h264"]))
    assert all(told(camera, later))


def test_a_new_connection_may_have_another_size_and_coding() -> None:
    camera = camera_for(CLIPS["h264"])
    told(camera, units_of(CLIPS["h264"]))
    other = moving_clip("hevc", (96, 64), 5)
    camera.open_stream(OpenStream(camera="door", connection=2, info=StreamInfo(codec="hevc")))
    assert told(camera, iter(list(units_of(CLIPS["h264"]))[:3])) == [], "of the connection before"
    found = told(camera, units_of(other, connection=2))
    assert {item.size_wh for item in found if item} == {(96, 64)}
    camera.open_stream(OpenStream(camera="door", connection=3, info=StreamInfo(codec="nonsense")))
    assert "no decoder for nonsense" in camera.report().message


class Clock:
    """Stands until it is set on."""

    def __init__(self) -> None:
        self.now_ns = time.perf_counter_ns()

    def __call__(self) -> int:
        return self.now_ns


def clocked_camera(clock: Clock, decoder: CpuDecoder | None = None) -> DecodedCamera[CpuPicture]:
    wish = DecodeCamera(camera="door", frames_per_s=25)
    camera = DecodedCamera(wish, (lambda info: decoder) if decoder else CpuDecoder, clock)
    camera.open_stream(OpenStream(camera="door", connection=1, info=StreamInfo(codec="h264")))
    return camera


def arriving(units: list[AccessUnit], clock: Clock, since_s: float = 0.0) -> list[AccessUnit]:
    return [replace(unit, arrived_ns=clock.now_ns + round(since_s * 1e9)) for unit in units]


def test_what_waits_too_long_is_left_out_up_to_the_next_keyframe() -> None:
    clock = Clock()
    camera, units = clocked_camera(clock), list(units_of(CLIPS["h264"]))
    for unit in arriving(units[:10], clock, 0.001):
        camera.push(unit)
    clock.now_ns += 700_000_000
    for unit in arriving(units[10:12], clock):
        camera.push(unit)
    found = told(camera, iter(arriving(units[12:13], clock)))
    assert camera.report().late == 10
    assert [item is not None for item in found] == [True] * 3
    assert camera.report().state == "behind", "which is what was wrong for a while"


def test_a_picture_that_is_too_old_is_not_told_of_and_that_is_said() -> None:
    clock = Clock()
    camera, units = clocked_camera(clock), list(units_of(CLIPS["h264"]))[:5]
    for unit in arriving(units, clock, 0.001):
        camera.push(unit)
    clock.now_ns += 1_500_000_000
    assert not any([camera.step() for _ in units])
    assert camera.report().state == "behind"
    assert camera.report().decoded == 5
    assert "more pictures come than" in camera.report().message


def test_what_ingest_kept_for_a_decoder_is_no_slowness_of_its() -> None:
    """A camera that moves to another decoder: its pictures since the last keyframe, and those of now."""
    clock = Clock()
    camera, units = clocked_camera(clock), list(units_of(CLIPS["h264"]))
    kept = [replace(unit, arrived_ns=clock.now_ns - round((4 - 0.4 * n) * 1e9)) for n, unit in enumerate(units[:10])]
    for unit in kept:
        camera.push(unit)
    found = [camera.step() for _ in kept]
    assert [item is not None for item in found] == [False] * 8 + [True] * 2, "the last second's are told of"
    assert (camera.report().state, camera.report().late) == ("ok", 0)


def test_a_decoder_that_waits_for_its_turn_to_be_opened_is_no_overload() -> None:
    """A GPU opens one in 55 ms: of 285 cameras the last one waits for 16 s."""

    class Opening(CpuDecoder):
        is_opening = True

    clock = Clock()
    decoder = Opening(StreamInfo(codec="h264"))
    camera, units = clocked_camera(clock, decoder), list(units_of(CLIPS["h264"]))
    for part in range(0, 40, 10):
        for unit in arriving(units[part : part + 10], clock):
            camera.push(unit)
        clock.now_ns += 4 * 10**9
    assert camera.report().late == 30, "no more than one group of pictures is kept for it"
    assert camera.report().state == "before_keyframe"
    decoder.is_opening = False
    assert not any([camera.step() for _ in range(10)])
    assert camera.report().decoded == 10
    assert camera.report().state == "before_keyframe", "frames that are due have no picture, and it still holds why"
    later = [replace(unit, captured_ns=unit.captured_ns + 2 * 10**9) for unit in units[:10]]
    assert all(told(camera, iter(arriving(later, clock, 0.001))))
    assert camera.report().state == "ok"


def test_the_newest_picture_is_written_where_it_is_wanted() -> None:
    clip = CLIPS["h264"]
    camera = camera_for(clip)
    descriptor = os.memfd_create("region")
    os.truncate(descriptor, 2 * 96 * 160 * 3)
    region = f"{os.getpid()}/{descriptor}/{os.fstat(descriptor).st_ino}"
    wish = WriteFrame(
        request=7,
        camera="door",
        region=region,
        shape=(2, 96, 160, 3),
        datatype="uint8",
        position=1,
        contract="frames",
        input_wh=(160, 96),
    )
    maps = RegionMaps()
    assert write_held_frame(camera, wish, maps).message == "no picture is held"
    told(camera, iter(list(units_of(clip))[:5]))
    written = write_held_frame(camera, wish, maps)
    assert (written.request, written.frame.sequence if written.frame else 0) == (7, 5)
    assert written.letterbox is not None
    with mmap.mmap(descriptor, 0) as memory:
        pictures = np.frombuffer(bytes(memory), np.uint8).reshape(wish.shape)
    assert not pictures[0].any()
    assert pictures[1, 30, 20].min() > 200
    resize = native_client(lambda text: None).resize
    assert resize is not None
    assert write_held_frame(camera, replace(wish, position=0), maps, resize).letterbox == written.letterbox
    with mmap.mmap(descriptor, 0) as memory:
        rows = np.frombuffer(bytes(memory), np.uint8).reshape(wish.shape)
    np.testing.assert_array_equal(rows[0], rows[1])
    for spoilt in (f"{os.getpid()}/{descriptor}/1", "1/2", "0/999/1"):
        assert "memory for pictures" in write_held_frame(camera, replace(wish, region=spoilt), maps).message
    os.close(descriptor)
    with pytest.raises(SourceError):
        RegionMaps().array(region, (1,), "uint8")


def test_memory_of_eight_gpus_is_mapped_once_and_let_go_of_when_its_owner_has_closed_it() -> None:
    def opened() -> tuple[int, str]:
        descriptor = os.memfd_create("region")
        os.truncate(descriptor, 4096)
        return descriptor, f"{os.getpid()}/{descriptor}/{os.fstat(descriptor).st_ino}"

    maps, regions = RegionMaps(), [opened() for _ in range(48)]
    arrays = [maps.array(name, (1,), "uint8") for _, name in regions]
    addresses = [array.ctypes.data for array in arrays]
    assert [maps.array(name, (1,), "uint8").ctypes.data for _, name in regions] == addresses
    for descriptor, _ in regions[:40]:
        os.close(descriptor)
    regions = [*regions[40:], opened()]
    assert maps.array(regions[-1][1], (1,), "uint8").size == 1
    assert set(maps._mapped) == {name for _, name in regions}
    for descriptor, _ in regions:
        os.close(descriptor)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_picture_keeps_its_colours_and_its_place_on_the_way_to_the_model(codec: ClipCodec) -> None:
    """Red stays red, on the left: from the source by codec, decoder and letterbox into what the model sees."""
    image = np.zeros((96, 160, 3), np.uint8)
    image[:, :80], image[:, 80:] = (20, 30, 220), (210, 60, 10)
    clip = clip_from_images([image] * 3, codec=codec)
    camera = camera_for(clip)
    told(camera, iter(list(units_of(clip))))
    assert camera.held is not None
    out = np.zeros((128, 160, 3), np.uint8)
    picture, _ = camera.held
    letterbox = write_input(picture.converter.image_from_frame(picture.frame), "frames", (160, 128), out)
    assert letterbox.offset_xy == (0, 16)
    for x, rgb in ((40, (220, 30, 20)), (120, (10, 60, 210))):
        for y in (20, 64, 108):
            assert np.abs(out[y, x].astype(int) - rgb).max() < 20
    assert (out[:14] == 114).all()
    assert (out[114:] == 114).all()


def test_cameras_take_no_threads_of_their_own() -> None:
    """Seventy cameras with two threads each were 144 threads in one process."""
    before = len(list(Path("/proc/self/task").iterdir()))
    cameras = [camera_for(CLIPS["h264"]) for _ in range(10)]
    for camera in cameras:
        told(camera, iter(list(units_of(CLIPS["h264"]))[:3]))
        assert camera.held is not None
        picture, _ = camera.held
        picture.converter.image_from_frame(picture.frame)
    assert len(list(Path("/proc/self/task").iterdir())) <= before + 1


@pytest.mark.parametrize(("camera_fps", "wanted_fps"), [(25, 5), (5, 5), (15, 4), (5, 25)])
def test_a_rate_is_kept_with_jitter(camera_fps: float, wanted_fps: float) -> None:
    rng = np.random.default_rng(0)
    bucket = RateBucket(wanted_fps)
    times = (np.arange(camera_fps * 60) / camera_fps + rng.uniform(-0.3, 0.3, camera_fps * 60) / camera_fps) * 1e9
    taken = sum(bucket.is_wanted(int(time_ns)) for time_ns in np.sort(times))
    assert taken == pytest.approx(60 * min(camera_fps, wanted_fps), rel=0.05)


def units_with_b_frames(codec: str) -> list[AccessUnit]:
    """Two dozen pictures, each as bright as its number, in the order of their coding."""
    encoder = cast(VideoCodecContext, VideoCodecContext.create({"h264": "libx264", "hevc": "libx265"}[codec], "w"))
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    x265 = "log-level=none:bframes=3:keyint=8:repeat-headers=1"
    encoder.options = {"bf": "3", "g": "8"} if codec == "h264" else {"x265-params": x265}
    packets = []
    for number in range(24):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 * number, np.uint8), format="bgr24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [
        AccessUnit(
            camera="door",
            connection=1,
            data=bytes(packet),
            captured_ns=packet.pts or 0,
            arrived_ns=0,
            clock="arrival",
            is_keyframe=packet.is_keyframe,
        )
        for packet in packets
    ]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("keyframes_only", [False, True])
def test_with_b_frames_each_picture_has_the_time_of_its_own_unit(codec: str, keyframes_only: bool) -> None:
    """It had that of a later one: newer than it was. By keyframes alone it was two intervals old."""
    units = [unit for unit in units_with_b_frames(codec) if unit.is_keyframe or not keyframes_only]
    decoder = CpuDecoder(StreamInfo(codec=codec))
    found = [decoded for unit in units if (decoded := decoder.decode(unit)) is not None]
    assert len(found) >= len(units) - 4
    for decoded in found:
        number = round(decoded.picture.frame.to_ndarray(format="bgr24").mean() / 10)
        assert number == decoded.unit.captured_ns
    if keyframes_only:
        assert found[-1].unit is units[-1]


def test_a_parameter_set_that_asks_for_a_huge_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """16384 x 8704 pixels of one camera were 213 MB a picture in the process of all."""
    monkeypatch.setattr(codecs, "MAX_PIXELS", 100)
    with pytest.raises(SourceError):
        CpuDecoder(StreamInfo(codec="h264")).decode(next(units_of(CLIPS["h264"])))
