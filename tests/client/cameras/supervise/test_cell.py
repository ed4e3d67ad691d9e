"""The whole cell: real streams, real processes, a small Triton; faults, and an account that holds through them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from photofinish.client.cameras.account.account import require_sum
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import StreamFaults, TestStream
from photofinish.client.cameras.supervise.cell import CameraCell
from photofinish.client.cameras.supervise.model_service import ServerAddress
from photofinish.client.cameras.supervise.tables import status_table, summary_line
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause, Inferred
from photofinish.client.cameras.values.status import CameraStatus, CellStatus
from tests.client.cameras.ingest.watching import until
from tests.client.cameras.streams.test_server import moving_clip
from tests.client.fake_triton import Arrays, FakeModel, FakeTriton

CLIP = moving_clip()


class Ears:
    """An output that keeps everything."""

    name = "ears"
    lost = 0

    def __init__(self) -> None:
        self.results: list[Inferred] = []
        self.statuses: list[CellStatus] = []

    def on_inferred(self, result: Inferred) -> None:
        self.results.append(result)

    def on_status(self, status: CellStatus) -> None:
        self.statuses.append(status)

    def close(self) -> None:
        pass


def one_box(inputs: Arrays) -> Arrays:
    """One row, whose confidence is the brightness of the picture's middle."""
    (frames,) = inputs.values()
    rows = np.zeros((len(frames), 300, 6), np.float32)
    rows[:, 0] = (10, 10, 30, 30, 0.9, 0)
    return {"detections": rows}


def row(cell: CameraCell, name: str) -> CameraStatus:
    return next(item for item in cell.status().cameras if item.camera == name)


def dropped(cell: CameraCell, name: str, cause: CameraDropCause) -> int:
    return row(cell, name).count.dropped.get(cause, 0)


async def gains(read: Callable[[], int], count: int, timeout_s: float = 60.0) -> None:
    wanted = read() + count
    await until(lambda: read() >= wanted, timeout_s)


def camera(server: StreamServer, path: str, **fields: object) -> Camera:
    return Camera(**{"name": path, "url": server.url(path), "frames_per_s": 10, **fields})  # type: ignore[arg-type]


def test_faults_are_one_cameras_alone_and_every_frame_is_accounted_for(tmp_path: Path) -> None:
    ears = Ears()

    async def main() -> CameraCell:
        streams = {
            "good": TestStream(clip=CLIP, frames_per_s=10),
            "stalls": TestStream(clip=CLIP, frames_per_s=10),
            "no-keyframe": TestStream(clip=CLIP, frames_per_s=10, faults=StreamFaults(no_keyframe=True)),
            "garbage": TestStream(clip=CLIP, frames_per_s=10, faults=StreamFaults(garbage=True)),
            "locked": TestStream(clip=CLIP, frames_per_s=10, user="admin", password="secret"),
        }
        model = FakeModel(infer=one_box)
        async with StreamServer(streams) as server:
            with FakeTriton(model) as triton:
                cell = CameraCell(
                    ServerAddress(grpc_url=triton.url), outputs=[ears], log_folder=tmp_path, on_notice=print
                )
                for path in streams:
                    cell.add(camera(server, path, stall_s=1.0, password="hunter2" if path == "locked" else ""))
                async with cell:
                    await until(lambda: row(cell, "good").count.inferred >= 10, 60)
                    began = row(cell, "good").count
                    streams["stalls"].faults.stalled = True
                    await gains(lambda: dropped(cell, "stalls", CameraDropCause.STALLED), 3)
                    await gains(lambda: dropped(cell, "no-keyframe", CameraDropCause.BEFORE_KEYFRAME), 3)
                    await gains(lambda: dropped(cell, "locked", CameraDropCause.NOT_CONNECTED), 3)
                    await until(lambda: row(cell, "garbage").count.dropped_total >= 3)
                    assert row(cell, "garbage").count.inferred == 0
                    streams["stalls"].faults.stalled = False
                    before = row(cell, "stalls").count.inferred
                    await until(lambda: row(cell, "stalls").count.inferred > before, 60)
                    table = status_table(cell.status())
                    assert "refuses the user and password" in "".join(table)
                    assert "hunter2" not in "".join(table) + summary_line(cell.status()) + repr(cell.status())
                    good = row(cell, "good")
                    lost = good.count.dropped_total - began.dropped_total
                    assert lost <= 0.3 * (good.count.due - began.due), good.count
                    assert good.quality == "excellent"
        return cell

    cell = asyncio.run(main())
    assert set(cell.final) == {"good", "stalls", "no-keyframe", "garbage", "locked"}
    for name, count in cell.final.items():
        require_sum(name, count)
        assert count.pending == 0
    assert cell.final["locked"].inferred == 0
    result = ears.results[-1]
    assert (result.detections.class_id.tolist(), result.size_wh) == ([0], (160, 96))
    good = [item for item in ears.results if item.camera == "good"]
    assert len({item.tick for item in good}) == len(good)
    assert [item.captured_ns for item in good] == sorted(item.captured_ns for item in good)
    latencies_ms = sorted(item.latency_ns / 1e6 for item in ears.results if item.camera == "good")
    assert latencies_ms[len(latencies_ms) // 2] < 90, "an interval of 100 ms is what a demuxer adds"
    assert ears.statuses


def test_cameras_come_change_and_go_while_it_runs(tmp_path: Path) -> None:
    async def main() -> None:
        streams = {path: TestStream(clip=CLIP, frames_per_s=20) for path in ("a", "b", "c")}
        async with StreamServer(streams) as server:
            with FakeTriton(FakeModel(infer=one_box)) as triton:
                async with CameraCell(ServerAddress(grpc_url=triton.url), log_folder=tmp_path) as cell:
                    assert cell.apply([camera(server, "a"), camera(server, "b")]) == ["a added", "b added"]
                    await until(lambda: all(item.count.inferred >= 5 for item in cell.status().cameras), 60)
                    changes = cell.apply([camera(server, "a", frames_per_s=20, priority=2), camera(server, "c")])
                    assert changes == ["b removed", "a changed", "c added"]
                    assert cell.final["b"].inferred >= 5
                    await until(lambda: row(cell, "c").count.inferred >= 5)
                    await until(lambda: row(cell, "a").served_fps > 14, 60)
                    assert streams["a"].connections == 1, "another rate is no other connection"
                    assert cell.apply(cell.cameras.values()) == []

    asyncio.run(main())


def test_killed_processes_and_a_killed_server_are_survived(tmp_path: Path) -> None:
    notices: list[str] = []

    async def main() -> None:
        stream = TestStream(clip=CLIP, frames_per_s=20)
        async with StreamServer({"cam": stream}) as server:
            with FakeTriton(FakeModel(infer=one_box)) as triton:
                cell = CameraCell(ServerAddress(grpc_url=triton.url), log_folder=tmp_path, on_notice=notices.append)
                cell.add(camera(server, "cam"))
                async with cell:
                    await until(lambda: row(cell, "cam").count.inferred >= 3, 60)
                    for name in ("decode process 0", "ingest process 0"):
                        os.kill(cell.status().processes[name], signal.SIGKILL)
                        await until(lambda: any("ended by signal 9" in text for text in notices))
                        notices.clear()
                        begun = time.monotonic()
                        await gains(lambda: row(cell, "cam").count.inferred, 3, 60)
                        print(f"{name}: back after {time.monotonic() - begun:.1f} s")
                    assert row(cell, "cam").count.dropped.get(CameraDropCause.NOT_DECODABLE, 0) > 0
                    triton.vanish()
                    await gains(lambda: dropped(cell, "cam", CameraDropCause.SERVER_FAILED), 5)
                    assert cell.status().server_message
                    with FakeTriton(FakeModel(infer=one_box)) as other:
                        cell.move_to(ServerAddress(grpc_url=other.url))
                        before = row(cell, "cam").count.inferred
                        await until(lambda: row(cell, "cam").count.inferred > before + 2, 60)
                        assert cell.status().server_message == ""

    asyncio.run(main())


@pytest.mark.parametrize("is_dead", [False, True])
def test_it_ends_within_three_seconds_whatever_cameras_and_server_do(tmp_path: Path, is_dead: bool) -> None:
    async def main() -> float:
        streams = {"cam": TestStream(clip=CLIP, frames_per_s=20), "dead": TestStream(clip=CLIP)}
        streams["dead"].faults.dead = True
        async with StreamServer(streams) as server:
            with FakeTriton(FakeModel(infer=one_box), delay_s=20 if is_dead else 0) as triton:
                cell = CameraCell(ServerAddress(grpc_url=triton.url), log_folder=tmp_path)
                for path in streams:
                    cell.add(camera(server, path))
                async with cell:
                    await until(lambda: len(triton.requests) > 0, 60)
                    begun = time.monotonic()
                return time.monotonic() - begun

    assert asyncio.run(main()) < 3


def test_a_decode_process_that_hangs_is_killed_and_writes_into_nobodys_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photofinish.client.cameras.supervise.processes.HANGS_S", 4.0)
    notices: list[str] = []

    async def main() -> None:
        async with StreamServer({"cam": TestStream(clip=CLIP, frames_per_s=20)}) as server:
            with FakeTriton(FakeModel(infer=one_box)) as triton:
                cell = CameraCell(ServerAddress(grpc_url=triton.url), log_folder=tmp_path, on_notice=notices.append)
                cell.add(camera(server, "cam"))
                async with cell:
                    await until(lambda: row(cell, "cam").count.inferred >= 3, 60)
                    os.kill(cell.status().processes["decode process 0"], signal.SIGSTOP)
                    await until(lambda: any("was ended by signal 9" in text for text in notices), 60)
                    await gains(lambda: row(cell, "cam").count.inferred, 3, 60)
                    require_sum("cam", row(cell, "cam").count)

    asyncio.run(main())
