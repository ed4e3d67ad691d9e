"""A cell with a GPU, whose place a stand-in takes: who is decoded where, and what its end costs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.client.cameras.account.account import require_sum
from photofinish.client.cameras.decode.gpu.process import SESSION_LIMIT, STAND_IN
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import TestStream
from photofinish.client.cameras.supervise import decoders
from photofinish.client.cameras.supervise.cell import CameraCell
from photofinish.client.cameras.supervise.crew import MAX_ENDS, CellCrew
from photofinish.client.cameras.supervise.gpus import DEVICE_VARIABLE, DecodePlan, decode_plan
from photofinish.client.cameras.supervise.model_service import ServerAddress
from photofinish.client.cameras.supervise.tables import status_table
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.errors import ConfigError
from tests.client.cameras.ingest.watching import until
from tests.client.cameras.supervise.test_cell import CLIP, camera, one_box, row
from tests.client.fake_triton import FakeModel, FakeTriton

REHEARSAL = {DEVICE_VARIABLE: STAND_IN}


def test_sessions_go_by_priority_and_the_process_comes_back_without_new_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who has no session shares one for keyframes where the CPU has no room, until the GPU opens more."""
    limit = tmp_path / "sessions"
    limit.write_text("2")
    monkeypatch.setenv(SESSION_LIMIT, str(limit))
    monkeypatch.setattr(decoders, "TRY_EVERY_S", 0.5)
    notices: list[str] = []
    paths = {"low": 0, "high": 2, "middle": 1}

    async def main() -> CameraCell:
        streams = {path: TestStream(clip=CLIP, frames_per_s=10) for path in paths}
        async with StreamServer(streams) as server:
            with FakeTriton(FakeModel(infer=one_box)) as triton:
                cell = CameraCell(
                    ServerAddress(grpc_url=triton.url),
                    decoding=decode_plan("auto", environment=REHEARSAL),
                    log_folder=tmp_path,
                    on_notice=notices.append,
                )
                for path, priority in paths.items():
                    cell.add(camera(server, path, priority=priority))
                cell.add(camera(server, "low", name="by wish", decode="cpu"))
                async with cell:
                    names = [*paths, "by wish"]
                    await until(lambda: all(row(cell, name).count.inferred >= 3 for name in names), 60)
                    assert {name: row(cell, name).decode for name in names} == {
                        "low": "cpu",
                        "high": "gpu",
                        "middle": "gpu",
                        "by wish": "cpu",
                    }
                    assert row(cell, "low").decode_reason == "the GPU opens no more than 2 decoding sessions"
                    table = status_table(cell.status())
                    line = next(line for line in table if line.startswith("low"))
                    assert "cpu" in line
                    assert "on the CPU: the GPU opens no more than 2 decoding sessions" in line
                    assert len([text for text in notices if "of the lowest priority" in text]) == 1
                    connections = {name: row(cell, name).ingest.connections for name in names}
                    pid = cell.status().processes["decode process 1 (GPU stand-in)"]
                    os.kill(pid, signal.SIGKILL)
                    began_s, before = time.monotonic(), row(cell, "high").count.inferred
                    await until(lambda: row(cell, "high").count.inferred > before + 3, 60)
                    print("served again after", time.monotonic() - began_s)
                    assert {name: row(cell, name).ingest.connections for name in names} == connections
                    assert row(cell, "high").decode == "gpu"
                    cell.remove("middle")
                    await until(lambda: row(cell, "low").decode == "gpu", 60)
                    before = row(cell, "low").count.inferred
                    await until(lambda: row(cell, "low").count.inferred > before + 3, 60)
                    assert row(cell, "low").ingest.connections == connections["low"]
                    cell.add(camera(server, "middle", priority=1))
                    await until(lambda: row(cell, "low").decode == "cpu", 60)
                    await shared_then_healed(cell, limit)
        return cell

    cell = asyncio.run(main())
    for name, count in cell.final.items():
        require_sum(name, count)
        assert count.pending == 0


def test_two_gpus_have_a_server_each_and_half_of_the_cameras(tmp_path: Path) -> None:
    """Every camera's pictures are decoded by one GPU, and asked for at that GPU's server alone.

    Each GPU has two decode processes here, with a camera in each.
    """

    async def main() -> None:
        async with StreamServer({path: TestStream(clip=CLIP, frames_per_s=10) for path in "abcd"}) as server:
            with FakeTriton(FakeModel(infer=one_box)) as first, FakeTriton(FakeModel(infer=one_box)) as second:
                cell = CameraCell(
                    [ServerAddress(grpc_url=first.url, gpu=0), ServerAddress(grpc_url=second.url, gpu=3)],
                    decoding=replace(decode_plan("auto", "0,3", environment=REHEARSAL), each=2),
                    log_folder=tmp_path,
                )
                for path in "abcd":
                    cell.add(camera(server, path))
                async with cell:
                    await until(lambda: all(row(cell, name).count.inferred >= 2 for name in "abcd"), 60)
                    assert {name: (row(cell, name).gpu, row(cell, name).decode) for name in "abcd"} == {
                        "a": (0, "gpu"),
                        "b": (3, "gpu"),
                        "c": (0, "gpu"),
                        "d": (3, "gpu"),
                    }
                    assert any("gpu 3" in line for line in status_table(cell.status()))
                    assert sum(name.endswith("(GPU stand-in)") for name in cell.status().processes) == 4
                    second.vanish()
                    await until(lambda: cell.status().server_message != "", 60)
                    before = row(cell, "a").count.inferred
                    await until(lambda: row(cell, "a").count.inferred > before + 3, 60)
                    lost = row(cell, "b").count.inferred
                    assert len(first.requests) > 0
                    await until(lambda: row(cell, "a").count.inferred > before + 6, 60)
                    assert row(cell, "b").count.inferred == lost, "another GPU's server is not asked for its cameras"

    asyncio.run(main())


async def shared_then_healed(cell: CameraCell, limit: Path) -> None:
    """Two sessions: the important camera's, and one for two cameras; then the limit rises, as another program ends."""
    shared = ("low", "middle")
    cell._decoders.move(cell._crew.placement.leave_room_for(0))
    assert [row(cell, name).decode for name in ("high", *shared, "by wish")] == ["gpu", "pool", "pool", "cpu"]
    before = {name: row(cell, name).count for name in shared}
    await until(lambda: all(row(cell, name).count.inferred >= before[name].inferred + 2 for name in shared), 60)
    degraded = CameraDropCause.DEGRADED
    for name in shared:
        assert row(cell, name).sampling == "keyframes"
        assert row(cell, name).count.dropped[degraded] > before[name].dropped.get(degraded, 0)
        assert row(cell, name).decode_reason.endswith("2 decoding sessions, and the CPU has no room")
    assert cell.status().notes == ("cameras that share decoders of a GPU, by keyframes only: 2",)
    assert cell.session_limits == {0: 2}
    limit.write_text("4")
    await until(lambda: all(row(cell, name).decode == "gpu" for name in shared), 60)
    before = {name: row(cell, name).count for name in shared}
    await until(lambda: all(row(cell, name).count.inferred > before[name].inferred + 5 for name in shared), 60)
    assert all(row(cell, name).sampling != "keyframes" for name in shared)
    assert cell.status().notes == ()


def test_a_process_that_does_not_stay_leaves_its_cameras_to_the_cpu(tmp_path: Path) -> None:
    notices: list[str] = []
    moved: list[list[str]] = []
    crew = CellCrew(
        {"ingest": 1, "decode": 1},
        log_folder=tmp_path,
        on_value=print,
        on_change=lambda kind, cameras, is_there: None,
        on_moved=moved.append,
        on_notice=notices.append,
        decoding=decode_plan("auto", environment=REHEARSAL),
    )
    crew.place(Camera(name="door", url="rtsp://camera/door"))
    for _ in range(MAX_ENDS):
        assert crew.placement.is_on_gpu("door")
        crew._note_end(1, "decode process 1 (GPU stand-in) ended with exit code 1 and is started again")
    assert moved == [["door"]]
    assert crew.placement.reason_of("door") == "the GPU's decode process ended 3 times within a minute"
    assert "the CPU decodes its cameras" in notices[-1]
    assert crew.placement.restarted(1) == [], "it stays there for this run"
    asyncio.run(crew.close())


@pytest.mark.parametrize(
    ("choice", "gpus", "count", "has_library", "devices", "words"),
    [
        ("auto", "0", 0, True, (), "the CPU decodes: there is no NVIDIA GPU here"),
        ("gpu", "0", 0, True, (), "the CPU decodes: there is no NVIDIA GPU here"),
        ("auto", "0", 1, True, ("0",), "GPU 0 decodes, and the CPU what is left"),
        ("auto", "0", 2, True, ("0",), "GPU 0 alone infers, and --gpus all spreads the cameras over all 2"),
        (
            "auto",
            "all",
            2,
            True,
            ("0", "1"),
            "GPU 0 and GPU 1 decode, and the CPU what is left; the cameras are spread",
        ),
        ("auto", "1", 2, True, ("1",), "GPU 1 decodes, and the CPU what is left"),
        ("auto", "0", 1, False, (), "pip install 'photofinish[nvdec]'"),
        ("auto", "0,1", 2, False, (), "the cameras are spread over GPU 0 and GPU 1, each with a server of its own"),
        ("cpu", "0", 1, True, (), "as --decode cpu says"),
        ("cpu", "all", 2, True, (), "as --decode cpu says; the cameras are spread over GPU 0 and GPU 1"),
    ],
)
def test_what_decodes_is_said(
    choice: str, gpus: str, count: int, has_library: bool, devices: tuple[str, ...], words: str
) -> None:
    plan = decode_plan(
        choice,  # type: ignore[arg-type]
        gpus,
        environment={},
        count_gpus=lambda: count,
        has_library=lambda: has_library,
    )
    assert plan.devices == devices
    assert words in plan.sentence
    wanted = tuple(range(count)) if gpus == "all" else tuple(map(int, gpus.split(",")))
    assert plan.numbers == (wanted if count else ()), "they infer, whatever decodes"


@pytest.mark.parametrize(("cameras", "gpus", "each"), [(0, "0", 1), (100, "0", 1), (101, "0", 2), (600, "0,1", 3)])
def test_a_gpu_has_a_decode_process_for_each_hundred_cameras(cameras: int, gpus: str, each: int) -> None:
    assert decode_plan("auto", gpus, environment=REHEARSAL).for_cameras(cameras).each == each


def test_stand_ins_take_the_place_of_as_many_gpus_as_are_named() -> None:
    plan = decode_plan("auto", "2,5", environment=REHEARSAL)
    assert (plan.devices, plan.numbers, plan.is_rehearsed) == ((STAND_IN, STAND_IN), (2, 5), True)
    with pytest.raises(ValueError, match="2 devices decode, and 1 GPUs infer"):
        DecodePlan(devices=("0", "1"), sentence="", numbers=(0,))


@pytest.mark.parametrize(("gpus", "words"), [("2", "GPU 2, and this machine has GPUs 0 to 1"), ("a", "all or numbers")])
def test_a_gpu_that_is_not_there_is_refused(gpus: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode_plan("auto", gpus, environment={}, count_gpus=lambda: 2, has_library=lambda: True)


def test_gpus_are_counted_as_cuda_lets_programs_see_them() -> None:
    plan = decode_plan("auto", "all", environment={"CUDA_VISIBLE_DEVICES": "3,5"}, has_library=lambda: True)
    assert plan.devices == ("0", "1")
    assert plan.strengths == (), "nothing is known of them"
    names = {0: "Tesla T4", 1: "NVIDIA L4"}
    plan = decode_plan("auto", "all", environment={}, count_gpus=lambda: 2, has_library=lambda: True,
                       names_of=lambda numbers: [names[number] for number in numbers])  # fmt: skip
    assert plan.strengths[1] > 2 * plan.strengths[0] > 0
    assert not decode_plan("auto", "all", environment={"CUDA_VISIBLE_DEVICES": ""}, has_library=lambda: True).devices
