"""Films: what lies in them, segments, sizes, a full disk, an encoder that is too slow, and a killed process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.recording import film as film_module
from photofinish.client.cameras.recording.film import FILE_NAME, Film
from photofinish.client.cameras.recording.keeping import BoundedFolder
from photofinish.client.cameras.recording.pictures import PictureSlots
from photofinish.client.cameras.values.status import CellStatus
from tests.client.cameras.outputs.test_webhook import soon
from tests.client.cameras.recording.held import WALL_NS, HoldingWriter, grey_of, result_at


@pytest.fixture(autouse=True)
def _time_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at is what a film holds, however busy the machine that ends it."""
    monkeypatch.setattr(film_module, "CLOSE_S", 30.0)


class Run:
    """A film of what a writer holds. `frames` shows frames that were just inferred."""

    def __init__(self, folder: Path, slots: int = 4, max_bytes: int = 10**9, segment_s: float = 60) -> None:
        self.writer = HoldingWriter()
        self.said: list[str] = []
        kept = BoundedFolder(folder, FILE_NAME, max_files=1000, max_bytes=max_bytes)
        self.film = Film(
            kept, PictureSlots(lambda: self.writer, slots), segment_s=segment_s, on_failure=self.said.append
        )

    async def frames(self, numbers: range, *, held: int = 0, camera: str = "door", **changes: Any) -> None:
        """held: by how many frames the decoder is ahead of the boxes."""
        for number in numbers:
            self.writer.number = number + held
            result = result_at(number, camera, **changes)
            self.film.ask(result)
            self.film.on_inferred(result)
            await asyncio.sleep(0)
            await asyncio.to_thread(soon, lambda: self.film._events._queue.empty())

    def tick(self, second: int, *cameras: str) -> None:
        status = CellStatus(at_unix_ns=WALL_NS + second * 10**9, uptime_s=1, variant="", cameras=())
        self.film.on_status(status)


@asynccontextmanager
async def filming(folder: Path, **options: Any) -> AsyncIterator[Run]:
    run = Run(folder, **options)
    try:
        yield run
    finally:
        await asyncio.to_thread(run.film.close)


def shown(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Times in seconds, and pictures."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [float(frame.time) for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4*"))


def test_a_film_shows_frames_with_boxes_at_their_own_times(tmp_path: Path) -> None:
    async def run() -> int:
        async with filming(tmp_path) as run:
            await run.frames(range(0, 4))
            await run.frames(range(10, 12))
        return run.film.lost

    assert asyncio.run(run()) == 0
    (path,) = files(tmp_path)
    assert path.relative_to(tmp_path) == Path("door/20231114T221320000Z.mp4")
    times, pictures = shown(path)
    assert times == pytest.approx([0, 0.2, 0.4, 0.6, 2.0, 2.2], abs=1e-3)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    grey, box_edge = pictures[4][200, 400].astype(int), pictures[4][20, 1].astype(int)
    assert abs(grey - grey_of(10)).max() < 8
    assert np.ptp(box_edge) > 40


def test_boxes_that_come_late_get_their_own_picture(tmp_path: Path) -> None:
    async def run() -> int:
        async with filming(tmp_path) as run:
            await run.frames(range(0, 20), held=2)
        return run.film.lost

    lost = asyncio.run(run())
    times, pictures = shown(files(tmp_path)[0])
    assert len(times) >= 6
    for at_s, picture in zip(times, pictures, strict=True):
        number = 2 + round(at_s * 5)  # the first picture that was held is of frame 2
        assert abs(int(picture[200, 400, 0]) - grey_of(number)) < 5
    assert len(times) + lost in range(17, 21)


def test_segments_are_bounded_and_begin_anew_with_another_size(tmp_path: Path) -> None:
    async def run() -> None:
        async with filming(tmp_path, segment_s=1) as run:
            await run.frames(range(0, 12))
            run.writer.size_wh = (320, 240)
            await run.frames(range(12, 14), size_wh=(320, 240))

    asyncio.run(run())
    assert [len(shown(path)[0]) for path in files(tmp_path)] == [5, 5, 2, 2]


def test_a_killed_process_loses_the_segment_that_was_open_only(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with filming(tmp_path, segment_s=1) as run:
            await run.frames(range(0, 8))
            return [path.name[-9:] for path in files(tmp_path)]

    whole, part = asyncio.run(run())
    assert (whole.endswith("Z.mp4"), part.endswith(".mp4.part")) == (True, True)


def test_a_camera_that_has_gone_ends_its_segment(tmp_path: Path) -> None:
    async def run() -> None:
        async with filming(tmp_path) as run:
            await run.frames(range(0, 3))
            run.tick(1)
            await asyncio.to_thread(soon, lambda: [path.suffix for path in files(tmp_path)] == [".mp4"])

    asyncio.run(run())


def test_the_oldest_films_go_when_the_folder_is_full(tmp_path: Path) -> None:
    async def run() -> None:
        async with filming(tmp_path, segment_s=1, max_bytes=9000) as run:
            await run.frames(range(0, 41))

    asyncio.run(run())
    found = files(tmp_path)
    assert 1 <= len(found) < 8
    assert sum(path.stat().st_size for path in found) <= 9000
    assert found[-1].name == "20231114T221328000Z.mp4"


def test_a_disk_that_takes_nothing_costs_films_with_a_count_and_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = film_module._Segment.add, []

    def counted(self: film_module._Segment, image: npt.NDArray[np.uint8], at_ns: int) -> None:
        add(self, image, at_ns)
        added.append(at_ns)

    def full(self: object, image: object, at_ns: int) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> tuple[int, list[str]]:
        async with filming(tmp_path) as run:
            monkeypatch.setattr(film_module._Segment, "add", counted)
            await run.frames(range(0, 5))
            await asyncio.to_thread(soon, lambda: len(added) == 5)
            monkeypatch.setattr(film_module._Segment, "add", full)
            await run.frames(range(5, 15))
            await asyncio.to_thread(soon, lambda: run.film.lost == 10)
            monkeypatch.undo()
            await run.frames(range(40, 45))
        return run.film.lost, run.said

    lost, said = asyncio.run(run())
    assert lost == 10
    assert len(said) == 1
    assert "the disk is full" in said[0]
    assert "name another --video folder" in said[0]
    assert [len(shown(path)[0]) for path in files(tmp_path)] == [5, 5]


def test_an_encoder_that_is_too_slow_loses_pictures_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(film_module, "_drawn", _waiting(gate))

    async def run() -> tuple[float, int]:
        async with filming(tmp_path, slots=3) as run:
            began_s = time.monotonic()
            for number in range(50):
                run.writer.number = number
                for camera in ("door", "gate"):
                    result = result_at(number, camera)
                    run.film.ask(result)
                    run.film.on_inferred(result)
                await asyncio.sleep(0)
            took_s, lost = time.monotonic() - began_s, run.film.lost
            gate.set()
            return took_s, lost

    took_s, lost = asyncio.run(run())
    assert took_s < 20
    assert lost >= 90


def _waiting(gate: threading.Event) -> Callable[..., np.ndarray]:
    def drawn(*args: object) -> np.ndarray:
        gate.wait(60)
        return np.zeros((64, 64, 3), np.uint8)

    return drawn


def test_the_queue_says_whether_it_took_something() -> None:
    gate = threading.Event()
    events = WaitingEvents("slow", lambda event: gate.wait(60), limit=1)
    taken = [events.put(number) for number in range(5)]
    gate.set()
    events.close()
    assert taken.count(False) == events.lost
    assert taken[0]


def test_a_camera_that_goes_gives_its_waiting_picture_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with filming(tmp_path, slots=1) as run:
            run.writer.number = 0
            run.film.ask(result_at(0, "door"))
            await asyncio.sleep(0)
            await asyncio.to_thread(soon, lambda: run.film._pairs.cameras() == {"door"})
            run.tick(1)
            await asyncio.to_thread(soon, lambda: not run.film._pairs.cameras())
            await run.frames(range(1, 3), camera="gate")

    asyncio.run(run())
    assert [path.parent.name for path in files(tmp_path)] == ["gate"]


def test_a_clock_that_is_set_back_ends_the_pause_after_a_refusal(tmp_path: Path) -> None:
    """A disk that was full while the clock was years ahead ended a camera's films for those years."""

    async def run() -> int:
        async with filming(tmp_path) as run:
            run.film._paused_until_ns["door"] = WALL_NS + 365 * 86400 * 10**9
            await run.frames(range(0, 3))
        return run.film.lost

    assert asyncio.run(run()) == 0
    assert len(files(tmp_path)) == 1
