"""The decode process of a GPU, whole, on a stand-in: the messages of a decode process, and what a GPU adds to them."""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from photofinish.client.cameras.decode.codec import UnitDecoder
from photofinish.client.cameras.decode.gpu.process import THREADS, THREADS_VARIABLE, GpuDecodeProcess, threads_wanted
from photofinish.client.cameras.decode.gpu.stand_in import StandIn
from photofinish.client.cameras.decode.nv12.job import Colours
from photofinish.client.cameras.decode.nv12.reference import letterboxed_from_nv12
from photofinish.client.cameras.supervise.gpus import decode_plan
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.child import OWNER_SOCKET, decoder_socket
from photofinish.client.cameras.wire.link import Link, connect, framed, listen
from photofinish.client.cameras.wire.messages import (
    DecodeCamera,
    DecodeReport,
    ForgetCamera,
    ForgetRegion,
    FrameWritten,
    OpenStream,
    SessionsTried,
    TrySessions,
    WriteFrame,
)
from photofinish.errors import ConfigError
from photofinish.letterbox import Letterbox
from tests.client.cameras.decode.nv12.test_letterbox import nv12_from_frame
from tests.client.cameras.decode.test_camera import CLIPS, units_of
from tests.client.cameras.ingest.watching import until

UNITS = list(units_of(CLIPS["h264"]))


class Owner:
    """The other ends of a decode process: the owner's and an ingest process's."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.link: Link | None = None
        self.ingest: Link | None = None

    def hear(self, link: Link, value: Any) -> None:
        self.link = link
        self.values += value if isinstance(value, tuple) else [value]

    def tell(self, value: object) -> None:
        assert self.link is not None
        self.link.send(value)

    def hand_over(self, *values: object) -> None:
        assert self.ingest is not None
        for value in values:
            self.ingest.send(value)

    def open(self, camera: str, codec: str = "h264", connection: int = 1) -> None:
        self.tell(DecodeCamera(camera=camera, frames_per_s=25))
        info = StreamInfo(codec=codec)
        self.hand_over(OpenStream(camera=camera, connection=connection, info=info))

    def due(self, camera: str) -> list[DueFrame]:
        return [value for value in self.values if isinstance(value, DueFrame) and value.camera == camera]

    def refusals(self, camera: str) -> list[Any]:
        reports = [value for value in self.values if isinstance(value, DecodeReport) and value.camera == camera]
        return [report.refusal for report in reports if report.refusal is not None]

    async def tried(self, count: int) -> int:
        """How many sessions more could be open; all that was told before is done when this comes back."""
        before = self._answers()
        self.tell(TrySessions(count=count))
        await until(lambda: len(self._answers()) > len(before), 60)
        return self._answers()[-1].opened

    def _answers(self) -> list[SessionsTried]:
        return [value for value in self.values if isinstance(value, SessionsTried) and value.number == 4]

    def written(self) -> list[FrameWritten]:
        return [value for value in self.values if isinstance(value, FrameWritten)]


def units(camera: str, connection: int = 1) -> list[AccessUnit]:
    now_ns = time.perf_counter_ns()
    return [replace(unit, camera=camera, connection=connection, arrived_ns=now_ns) for unit in UNITS]


def with_process(folder: Path, device: StandIn, check: Callable[[Owner], Awaitable[None]]) -> None:
    async def main() -> None:
        owner = Owner()
        server = await listen(folder / OWNER_SOCKET, owner.hear, lambda link: None)
        async with server:
            running = asyncio.ensure_future(GpuDecodeProcess(folder, device, threads=2).run(4))
            await until(lambda: owner.link is not None and (folder / decoder_socket(4)).exists(), 60)
            owner.ingest = await connect(folder / decoder_socket(4), lambda link, value: None)
            await check(owner)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


@pytest.fixture
def region() -> Iterator[tuple[str, np.ndarray]]:
    """Memory of this process, and how others find it: two pictures of 64 x 48."""
    descriptor = os.memfd_create("photofinish-test")
    os.truncate(descriptor, 2 * 48 * 64 * 3)
    memory = mmap.mmap(descriptor, 2 * 48 * 64 * 3)
    name = f"{os.getpid()}/{descriptor}/{os.fstat(descriptor).st_ino}"
    yield name, np.frombuffer(memory, np.uint8).reshape(2, 48, 64, 3)
    os.close(descriptor)


def test_pictures_are_told_of_and_written_by_the_kernel(tmp_path: Path, region: tuple[str, np.ndarray]) -> None:
    name, pictures = region

    async def check(owner: Owner) -> None:
        owner.open("door")
        owner.hand_over(*units("door"))
        await until(lambda: len(owner.due("door")) == 40, 60)  # the one that opens the session too
        for position, camera in enumerate(("door", "nobody")):
            owner.tell(wish(name, position, camera))
        await until(lambda: len(owner.written()) == 2, 60)
        door, nobody = sorted(owner.written(), key=lambda answer: answer.request)
        assert nobody.frame is None
        assert door.frame == owner.due("door")[-1]
        assert door.letterbox == Letterbox(source_wh=(160, 96), target_wh=(64, 48))
        decoder = UnitDecoder(StreamInfo(codec="h264"))
        frame = [decoder.decode(unit) for unit in UNITS][-1]
        assert frame is not None
        expected = letterboxed_from_nv12(*nv12_from_frame(frame), door.letterbox, Colours())
        np.testing.assert_array_equal(pictures[0], expected)

    with_process(tmp_path, StandIn(), check)


def test_a_camera_by_keyframes_has_its_picture_from_the_first_one_though_that_opens_the_session(tmp_path: Path) -> None:
    """With a keyframe every ten seconds it would be dark for ten."""

    async def check(owner: Owner) -> None:
        owner.tell(DecodeCamera(camera="door", frames_per_s=25, keyframes_only=True))
        assert await owner.tried(0) == 0, "the process knows the camera"
        first = units("door")[0]
        owner.hand_over(opened("door"), first)
        await until(lambda: bool(owner.due("door")), 60)
        assert owner.due("door")[0].captured_ns == first.captured_ns

    with_process(tmp_path, StandIn(), check)


class SharingStandIn(StandIn):
    """A stand-in with a GPU's memory that is shared. opened: how often each region is open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[str, int] = {}
        self._shared: dict[int, str] = {}

    def open_region(self, name: str) -> int:
        address = self.allocate(2 * 48 * 64 * 3)
        self._shared[address] = name
        self.opened[name] = self.opened.get(name, 0) + 1
        return address

    def close_region(self, address: int) -> None:
        self.opened[self._shared.pop(address)] -= 1
        self.free(address)


def test_memory_of_a_gpu_is_let_go_of_when_its_owner_closes_it(tmp_path: Path) -> None:
    """Behind pictures that were asked for before: a session that ended waits for none of them."""
    device, names = SharingStandIn(), ["cuda/0/1/first/00", "cuda/0/1/second/00"]

    async def check(owner: Owner) -> None:
        owner.open("door")
        owner.hand_over(*units("door"))
        await until(lambda: bool(owner.due("door")), 60)
        for name in names:
            owner.tell(wish(name, 0, "door"))
        await until(lambda: len(owner.written()) == 2, 60)
        assert device.opened == dict.fromkeys(names, 1)
        owner.tell(wish(names[0], 1, "door"))
        owner.tell(ForgetRegion(region=names[0]))
        await until(lambda: device.opened[names[0]] == 0, 60)
        await until(lambda: len(owner.written()) == 3, 60)
        assert device.opened == {names[0]: 0, names[1]: 1}

    with_process(tmp_path, device, check)


def test_what_a_gpu_does_not_take_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The second camera is one session too many, the third of a coding that no GPU decodes, the fourth in 4:4:4."""
    coloured = replace(units("colour")[0], data=coded(np.zeros((48, 64, 3), np.uint8), "yuv444p"))

    async def check(owner: Owner) -> None:
        for camera, codec in (("one", "h264"), ("two", "h264"), ("jpeg", "mjpeg"), ("colour", "h264")):
            owner.open(camera, codec)
            owner.hand_over(*([coloured] if camera == "colour" else units(camera)))
            if camera == "one":
                await until(lambda: bool(owner.due("one")), 60)
        await until(lambda: all(owner.refusals(camera) for camera in ("two", "jpeg", "colour")), 60)
        assert owner.refusals("two")[0].sessions == 1
        assert "no more than 1 decoding sessions" in owner.refusals("two")[0].reason
        assert owner.refusals("jpeg")[0].sessions is None
        assert owner.refusals("jpeg")[0].reason == "GPUs decode no mjpeg"
        assert "yuv444p" in owner.refusals("colour")[0].reason
        assert not owner.refusals("one")
        owner.tell(ForgetCamera(camera="one"))
        owner.tell(ForgetCamera(camera="two"))
        owner.open("two", connection=2)
        owner.hand_over(*units("two", connection=2))
        await until(lambda: bool(owner.due("two")), 60)  # a session that was given back is free for others

    with_process(tmp_path, StandIn(session_limit=1), check)


def test_many_cameras_share_one_session_for_keyframes_and_each_has_its_own_picture(
    tmp_path: Path, region: tuple[str, np.ndarray]
) -> None:
    """Two sessions: one is a camera's own, and the other serves five, of which one had its own before."""
    name, pictures = region
    dark = replace(units("dark")[0], data=coded(np.zeros((96, 160, 3), np.uint8), "yuv420p"))
    keyframes = sum(unit.is_keyframe for unit in UNITS)

    async def check(owner: Owner) -> None:
        for camera in ("own", "moves"):
            owner.tell(DecodeCamera(camera=camera, frames_per_s=25))
        assert await owner.tried(0) == 0, "the process knows both cameras"
        for camera in ("own", "moves"):
            first, second, *others = units(camera)
            owner.hand_over(opened(camera), first, second)
            await until(lambda camera=camera: len(owner.due(camera)) == 2, 60)  # while it opens, keyframes begin anew
            owner.hand_over(*others)
        await until(lambda: len(owner.due("own")) == 40 and len(owner.due("moves")) == 40, 60)
        shared = ["moves", "dark", "a", "b", "c"]
        for camera in shared:
            owner.tell(DecodeCamera(camera=camera, frames_per_s=25, keyframes_only=True, pool_sessions=1))
        assert await owner.tried(0) == 0
        for camera in shared:
            sent = units(camera, connection=2) if camera != "dark" else [replace(dark, connection=2)]
            owner.hand_over(opened(camera, connection=2), *sent)
        await until(lambda: all(owner.due(camera) for camera in shared), 60)
        await until(lambda: len(owner.due("c")) == keyframes, 60)
        assert not any(owner.refusals(camera) for camera in (*shared, "own"))
        assert await owner.tried(2) == 0
        for position, camera in enumerate(("dark", "a")):
            owner.tell(wish(name, position, camera))
        await until(lambda: len(owner.written()) == 2, 60)
        assert int(pictures[0].max()) < 120, "padding is 114"
        assert int(pictures[1].max()) > 150
        for camera in shared:
            owner.tell(ForgetCamera(camera=camera))
        for _ in range(100):  # a worker gives the session back when its turn comes
            if found := await owner.tried(2):
                break
        assert found == 1

    with_process(tmp_path, StandIn(session_limit=2), check)


def test_a_limit_that_rises_while_it_runs_is_found_by_trying(tmp_path: Path) -> None:
    device = StandIn(session_limit=1)

    async def check(owner: Owner) -> None:
        for camera in ("one", "two"):
            owner.tell(DecodeCamera(camera=camera, frames_per_s=25))
        assert await owner.tried(3) == 0
        for camera in ("one", "two"):
            owner.hand_over(opened(camera), *units(camera))
        await until(lambda: bool(owner.refusals("one") or owner.refusals("two")), 60)
        assert await owner.tried(3) == 0
        device.session_limit = 3
        assert await owner.tried(3) == 2

    with_process(tmp_path, device, check)


def opened(camera: str, connection: int = 1) -> OpenStream:
    return OpenStream(camera=camera, connection=connection, info=StreamInfo(codec="h264"))


def coded(image: np.ndarray, pixels: str) -> bytes:
    """One picture as a keyframe of H.264."""
    encoder = cast(VideoCodecContext, VideoCodecContext.create("libx264", "w"))
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.options = pixels, Fraction(1, 25), {"tune": "zerolatency"}
    return bytes(encoder.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels))[0])


def wish(region: str, position: int, camera: str) -> WriteFrame:
    return WriteFrame(
        request=position,
        camera=camera,
        region=region,
        shape=(2, 48, 64, 3),
        datatype="uint8",
        position=position,
        contract="frames",
        input_wh=(64, 48),
    )


def test_the_environment_sets_how_many_threads_decode() -> None:
    assert [threads_wanted(found) for found in ({}, {THREADS_VARIABLE: ""}, {THREADS_VARIABLE: "4"})] == [
        THREADS, THREADS, 4
    ]  # fmt: skip
    for wish in ("0", "many", "-1", "²", "513", "9" * 5000):
        with pytest.raises(ConfigError, match=f"{THREADS_VARIABLE}={wish[:20]} is no number from 1 to 512"):
            threads_wanted({THREADS_VARIABLE: wish})
    with pytest.raises(ConfigError, match="set another, or none"):  # before anything is started
        decode_plan("cpu", environment={THREADS_VARIABLE: "many"})


def test_a_thread_that_answers_nothing_ends_the_process(tmp_path: Path) -> None:
    """The others would go on reporting, and its cameras would be dark for ever."""
    crashes: list[BaseException] = []

    class Watched(GpuDecodeProcess):
        def _crash(self, exc: BaseException) -> None:
            crashes.append(exc)

    async def main() -> None:
        process = Watched(tmp_path, StandIn(), threads=2)
        for _ in range(15):
            process._workers[1].ask_for_reports()  # it was never started
            process._require_progress()
        assert not crashes
        process._workers[1].ask_for_reports()
        process._require_progress()

    asyncio.run(main())
    assert "answered nothing for 16 s" in str(crashes[0])


def test_a_read_of_the_socket_wakes_each_worker_once_with_its_units_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        process = GpuDecodeProcess(tmp_path, StandIn(), threads=2)
        link = Link(process.on_ingest, on_read=process.hand_over)
        for camera in ("door", "gate", "yard"):
            process.on_owner(link, DecodeCamera(camera=camera, frames_per_s=25))
        inboxes = [worker._inbox for worker in process._workers[:2]]
        for inbox in inboxes:
            while not inbox.empty():
                inbox.get()
        values: list[Any] = [opened(camera) for camera in ("door", "gate", "yard", "nobody")]
        for unit in UNITS[:3]:
            values += [replace(unit, camera=camera) for camera in ("door", "gate", "yard", "nobody")]
        link.data_received(b"".join(framed(value) for value in values))
        assert [inbox.qsize() for inbox in inboxes] == [1, 1]
        assert inboxes[0].get() == [value for value in values if value.camera in ("door", "yard")]
        assert inboxes[1].get() == [value for value in values if value.camera == "gate"]
        link.data_received(framed(ForgetCamera(camera="door")))
        assert all(inbox.empty() for inbox in inboxes)

    asyncio.run(main())
