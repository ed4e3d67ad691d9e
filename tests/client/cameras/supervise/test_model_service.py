"""Six batches under way at once: what ends a session, and what the others' frames become then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.cameras.schedule import batches
from photofinish.client.cameras.schedule.seat import CameraSeat
from photofinish.client.cameras.supervise import model_service
from photofinish.client.cameras.supervise.model_service import MAX_FAILURES, SLOTS, ModelService, ServerAddress
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause, DueFrame, Inferred
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.errors import InferenceError
from photofinish.letterbox import letterbox_from_image
from tests.builders import build_card
from tests.client.cameras.ingest.watching import until

REGION = "cuda/3/9/slot/00"
PICTURE = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WRITE_TIMEOUT_S", 0.1)


class Server:
    """A Session on a GPU: its requests wait for their answers, or fail at once."""

    batch_size = 1

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.sent: list[Future[npt.NDArray[np.float32]]] = []

    def acquire(self, timeout_s: float) -> SimpleNamespace:
        return SimpleNamespace(direct="host", on_device=REGION, input_array=np.zeros((1, 64, 64, 3), np.uint8))

    def submit(self, slot: object, count: int) -> Future[npt.NDArray[np.float32]]:
        self.sent.append(Future())
        if self.fails:
            self.sent[-1].set_exception(InferenceError("no such region", model="toy", url="here"))
        return self.sent[-1]


class Cameras:
    """A FrameWriter, and the seats of its cameras. stuck: those whose pictures are not written before `write`."""

    def __init__(self, *names: str) -> None:
        self.seats = {name: CameraSeat(Camera(name=name, url="rtsp://cam", frames_per_s=5), 0) for name in names}
        self.stuck: set[str] = set()
        self.told: list[Inferred] = []
        self.notices: list[str] = []
        self.forgotten: list[tuple[str, int]] = []
        self._frames: dict[str, DueFrame] = {}
        self._unwritten: dict[str, asyncio.Future[FrameWritten]] = {}
        self.service = ModelService(
            ServerAddress(grpc_url="here"),
            "",
            seats=lambda: self.seats.values(),
            writer=self,
            on_inferred=self.told.append,
            on_notice=self.notices.append,
        )
        self.service._set_served(True)

    def serve(self, server: Server) -> asyncio.Future[None]:
        return asyncio.ensure_future(self.service._serve(server, build_card(device="cuda")))  # type: ignore[arg-type]

    def send(self, name: str, number: int, *, wakes: bool = True) -> DueFrame:
        """The camera's picture of this due frame is there."""
        seat = self.seats[name]
        at_ns = seat.schedule.time_ns(number)
        frame = DueFrame(camera=name, sequence=number + 1, captured_ns=at_ns, arrived_ns=at_ns, decoded_ns=at_ns,
                         clock="arrival", size_wh=(64, 64))  # fmt: skip
        self._frames[name] = frame
        seat.take(frame, at_ns)
        if wakes:
            self.service.wake(seat)
        else:
            self.service._waiting[name] = seat
        return frame

    def ask(self, wish: WriteFrame) -> asyncio.Future[FrameWritten]:
        future = self._unwritten[wish.camera] = asyncio.get_running_loop().create_future()
        if wish.camera not in self.stuck:
            self.write(wish.camera, self._frames[wish.camera])
        return future

    def write(self, name: str, frame: DueFrame) -> None:
        """Answer what was asked for last of the camera: this picture is written."""
        letterbox = letterbox_from_image(PICTURE, (64, 64))
        self._unwritten[name].set_result(FrameWritten(request=0, camera=name, frame=frame, letterbox=letterbox))

    def writes_on_gpu(self, camera: str, gpu: int) -> bool:
        return False

    def forget_region(self, region: str, gpu: int) -> None:
        self.forgotten.append((region, gpu))


def test_a_server_that_knows_no_region_is_asked_for_a_new_session_after_three_requests_of_any_slots() -> None:
    """One camera's frames go to one slot after the other: thirteen would fail until one slot has failed three times."""
    cameras, server = Cameras("door"), Server(fails=True)

    async def main() -> None:
        serving = cameras.serve(server)
        for number in range(MAX_FAILURES):
            assert not serving.done()
            cameras.send("door", number)
            await until(lambda number=number: len(server.sent) == number + 1)  # type: ignore[misc]
            await until(lambda: not cameras.seats["door"].account.pending)
        await asyncio.wait_for(serving, 60)

    asyncio.run(main())
    assert cameras.seats["door"].account.count().dropped == {CameraDropCause.SERVER_FAILED: MAX_FAILURES}
    assert cameras.forgotten == [(REGION, 3)] * SLOTS["cuda"], "decode processes let go of the slots' memory"


def test_requests_that_fail_together_fail_for_one_reason_and_the_next_answer_of_any_slot_says_that_it_serves() -> None:
    names = [f"cam-{number}" for number in range(SLOTS["cuda"])]
    cameras, server = Cameras(*names), Server()

    async def main() -> None:
        serving = cameras.serve(server)
        for name in names:
            cameras.send(name, 0)
        await until(lambda: len(server.sent) == len(names))
        for request in server.sent[:-1]:
            request.set_exception(InferenceError("out of breath", model="toy", url="here"))
        await until(lambda: not cameras.service.is_served)
        assert "out of breath" in cameras.service.message
        server.sent[-1].set_result(np.zeros((1, MAX_ROWS, ROW_WIDTH), np.float32))
        await until(lambda: cameras.service.is_served)
        assert (cameras.service.message, serving.done()) == ("", False)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(main())


def test_a_frame_wakes_one_slot_which_wakes_the_next_where_it_leaves_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """All six woke for every frame of hundreds of cameras, and five of them found nothing."""
    cameras, server = Cameras("door", "yard", "gate"), Server()
    looks: list[int] = []

    def counted(seats: Iterable[CameraSeat], count: int) -> list[CameraSeat]:
        looks.append(len(found := batches.chosen_seats(seats, count)))
        return found

    monkeypatch.setattr(model_service, "chosen_seats", counted)

    async def main() -> None:
        serving = cameras.serve(server)
        await until(lambda: len(looks) == SLOTS["cuda"])
        cameras.send("door", 0)
        await until(lambda: len(server.sent) == 1)
        assert looks[SLOTS["cuda"] :] == [1]
        for number, name in enumerate(("yard", "gate")):  # only the second of them wakes a slot
            cameras.send(name, 0, wakes=bool(number))
        await until(lambda: len(server.sent) == 3)
        assert looks[SLOTS["cuda"] :] == [1, 2, 1]
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(main())


def test_a_picture_that_came_while_the_one_before_was_written_goes_as_soon_as_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waited for the owner's next look at the clock: up to 20 ms."""
    monkeypatch.setattr(batches, "WRITE_TIMEOUT_S", 5.0)
    cameras, server = Cameras("door"), Server()
    cameras.stuck = {"door"}

    async def main() -> None:
        serving = cameras.serve(server)
        first = cameras.send("door", 0)
        await until(lambda: "door" in cameras._unwritten)
        cameras.send("door", 1)
        cameras.stuck.clear()
        await asyncio.sleep(0)
        cameras.write("door", first)
        await until(lambda: len(server.sent) == 2, 4)  # sooner than a write is given up
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(main())


def test_what_is_under_way_comes_back_although_another_slot_ends_the_session() -> None:
    """A decode process that hangs costs the frames that it has, and none that the server has already."""
    cameras, server = Cameras("door", "hangs"), Server()
    cameras.stuck = {"hangs"}

    async def main() -> None:
        serving = cameras.serve(server)
        cameras.send("door", 0)
        cameras.send("hangs", 0)
        await until(lambda: len(server.sent) == 1)
        await until(lambda: bool(cameras.notices))
        assert not serving.done()
        server.sent[0].set_result(np.zeros((1, MAX_ROWS, ROW_WIDTH), np.float32))
        await asyncio.wait_for(serving, 60)

    asyncio.run(main())
    assert [result.camera for result in cameras.told] == ["door"]
    assert cameras.seats["hangs"].account.count().dropped == {CameraDropCause.NOT_DECODABLE: 1}
    assert not any(seat.account.pending for seat in cameras.seats.values())


def test_a_frame_whose_answer_is_not_waited_for_is_the_servers_failure_while_its_camera_is_watched() -> None:
    cameras, server = Cameras("door", "hangs"), Server()
    cameras.stuck = {"hangs"}

    async def main() -> None:
        serving = cameras.serve(server)
        cameras.send("door", 0)
        cameras.send("hangs", 0)
        await asyncio.wait_for(serving, 60)

    asyncio.run(main())
    assert cameras.seats["door"].account.count().dropped == {CameraDropCause.SERVER_FAILED: 1}


def test_whatever_fails_while_it_connects_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was neither an error of ours nor of the system ended the task, and nothing was inferred any more."""
    told = list[str]()
    tries = list[int]()
    monkeypatch.setattr(model_service, "RETRY_S", 0.01)
    service = ModelService(
        ServerAddress(grpc_url="127.0.0.1:1"),
        "",
        seats=list,
        writer=Cameras(),
        on_inferred=lambda result: None,
        on_notice=told.append,
    )

    def fail() -> None:
        tries.append(1)
        raise KeyError("output")

    monkeypatch.setattr(service, "_open", fail)

    async def main() -> None:
        service.start()
        await until(lambda: len(tries) > 2)
        await service.stop()

    asyncio.run(main())
    assert len(told) == 1
    assert not service.is_served
