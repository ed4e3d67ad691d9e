"""A process of a cell that cannot be started for a while is started when it can."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from photofinish.client.cameras.supervise import processes
from photofinish.client.cameras.supervise.crew import CellCrew
from photofinish.client.cameras.supervise.processes import CellProcess
from photofinish.machine.started_program import StartedProgram
from tests.client.cameras.ingest.watching import until


def test_a_start_that_the_system_refuses_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, told = [OSError(11, "Resource temporarily unavailable")], []

    def start(command: list[str], **options: Any) -> StartedProgram[bytes]:
        if len(told) and refusals:
            raise refusals.pop()
        return StartedProgram(["sleep", "60"], **options)

    monkeypatch.setattr(processes, "StartedProgram", start)

    async def main() -> None:
        process = CellProcess("ingest", 0, tmp_path, tmp_path, on_end=told.append, silence_s=lambda kind, number: 0.0)
        process.start()
        first = process.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: any("cannot be started" in text for text in told))
        await until(lambda: process.pid not in (None, first))
        second = process.pid
        assert second is not None
        os.kill(second, signal.SIGTERM)
        await process.stop()

    asyncio.run(main())
    assert not refusals


def test_what_a_process_said_last_is_told_with_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's decode process that cannot begin says why, and what to do; of an earlier one nothing is told."""
    told: list[str] = []
    scripts = ["echo pip install nvdec >&2; exit 1", "exit 1", "sleep 60"]

    def start(command: list[str], **options: Any) -> StartedProgram[bytes]:
        return StartedProgram(["sh", "-c", scripts.pop(0)], **options)

    monkeypatch.setattr(processes, "StartedProgram", start)

    async def main() -> None:
        process = CellProcess("decode", 1, tmp_path, tmp_path, on_end=told.append, gpu="0")
        process.start()
        await until(lambda: not scripts)
        await process.stop()

    asyncio.run(main())
    log = tmp_path / "cameras-decode-1.log"
    assert told == [
        f"decode process 1 (GPU 0) ended with exit code 1 (pip install nvdec) and is started again; see {log}",
        f"decode process 1 (GPU 0) ended with exit code 1 and is started again; see {log}",
    ]


def test_a_killed_runs_folder_goes_with_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets' folders of forty-nine killed runs lay in the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def crew() -> CellCrew:
        return CellCrew(
            {"ingest": 1, "decode": 1},
            log_folder=tmp_path / "logs",
            on_value=lambda value: None,
            on_change=lambda kind, cameras, is_there: None,
            on_notice=lambda text: None,
        )

    made = crew()
    (folder,) = tmp_path.glob("photofinish-*")
    killed = tmp_path / folder.name.replace(f"-{os.getpid()}_", "-4194303_")  # no process has this id
    killed.mkdir()
    asyncio.run(made.close())
    assert killed.exists()
    asyncio.run(crew().close())
    assert not list(tmp_path.glob("photofinish-*"))


def test_a_process_that_hangs_before_it_has_come_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while it imported, it was waited for as long as the run went on."""
    told = list[str]()
    monkeypatch.setattr(processes, "START_S", 0.05)
    monkeypatch.setattr(
        processes, "StartedProgram", lambda command, **options: StartedProgram(["sleep", "60"], **options)
    )

    async def main() -> None:
        process = CellProcess("ingest", 0, tmp_path, tmp_path, on_end=told.append, silence_s=lambda kind, number: None)
        process.start()
        await until(lambda: process.restarts > 0)
        await process.stop()

    asyncio.run(main())
    assert "signal 9" in told[0]


def test_an_owner_that_was_stopped_itself_does_not_take_its_processes_for_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause of the machine all cameras were connected anew."""
    monkeypatch.setattr(processes, "PAUSED_S", -processes.LONGEST_DELAY_S)  # each look comes after a pause
    monkeypatch.setattr(
        processes, "StartedProgram", lambda command, **options: StartedProgram(["sleep", "60"], **options)
    )
    asked = list[float]()

    def silence_s(kind: str, number: int) -> float:
        asked.append(processes.HANGS_S + 1)
        return asked[-1]

    async def main() -> None:
        process = CellProcess("ingest", 0, tmp_path, tmp_path, on_end=lambda text: None, silence_s=silence_s)
        process.start()
        await until(lambda: len(asked) > 5)
        assert process.pid is not None
        assert process.restarts == 0
        monkeypatch.setattr(processes, "PAUSED_S", 2.0)
        monkeypatch.setattr(processes, "HANGS_S", 0.0)
        await until(lambda: process.restarts > 0)
        await process.stop()

    asyncio.run(main())
