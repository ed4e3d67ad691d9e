"""The whole benchmark on real streams and a small Triton: a list, a record, exit code 3."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from photofinish.cli import cli
from photofinish.client.cameras.streams.launch import StreamProcesses
from photofinish.errors import PhotofinishError, SourceError
from photofinish.perf.cameras.parts import bytes_of_process
from photofinish.perf.record.cameras import read_cameras_record
from tests.client.fake_triton import FakeModel, FakeTriton

SMALL = ("--stream-size", "128x96", "--seconds", "2")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["perf", *words])


def exit_code_of(ran: Result) -> int:
    """What `main` makes of the error."""
    return ran.exception.exit_code if isinstance(ran.exception, PhotofinishError) else ran.exit_code


def test_a_step_its_list_and_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "cameras.json"
    with FakeTriton(FakeModel()) as triton:
        ran = run("cameras", "--streams", "2", "--url", triton.url, *SMALL, "--mean-ms", "0", "--out", str(out))
    assert exit_code_of(ran) == 3, (ran.output, ran.exception)
    assert "2 cameras: mean latency" in str(ran.exception)
    record = read_cameras_record(out)
    assert record.is_complete
    assert [step.cameras for step in record.steps] == [2]
    for step in record.steps:
        assert step.is_warm
        assert 1.9 < step.window_s < 4
        assert {row.camera for row in step.rows} == {f"test-{number:03d}" for number in range(1, step.cameras + 1)}
        assert all(row.inferred == len(row.latencies_ns) > 0 for row in step.rows)
        assert all(row.clock == "rtcp" for row in step.rows)
        assert set(step.cores) == {"owner", "ingest", "decode", "generator"}
        assert step.memory_bytes["decode"] > 5 << 20
        assert step.late_max_ms is not None
        assert step.sent >= sum(row.inferred for row in step.rows)
    assert "2 cameras for 2 s" in ran.output
    assert "✗ mean latency" in ran.output
    again = run("report", str(out))
    assert again.exit_code == 0, again.output
    assert "✗ mean latency" in again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--streams", ""], "--streams needs a number of cameras"),
        (["--fps", "10"], "--fps 10 is more than the streams send; raise --stream-fps 5"),
        (["--stream-size", "big"], "--stream-size must be width x height"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("cameras", *arguments)
    assert exit_code_of(ran) == 1
    assert words in str(ran.exception)


def test_the_generator_is_judged_by_its_window_and_missed_when_it_is_gone() -> None:
    async def ask() -> None:
        async with StreamProcesses(1, size_wh=(128, 96), seconds=1) as streams:
            await streams.begin_window()
            assert streams.late_max_ms == [None]
            assert len(streams.pids) == 1
            os.kill(streams.pids[0], 9)
            with pytest.raises(SourceError, match="the test streams ended"):
                await streams.report()

    asyncio.run(ask())


def test_memory_of_a_process_is_read_and_nothing_of_an_ended_one() -> None:
    assert bytes_of_process(os.getpid()) > 10 << 20
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert bytes_of_process(ended.pid) == 0
