"""A program in a process of its own: what it measures, what it uses, and how it ends."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from photofinish.machine.processes import is_alive
from photofinish.percentiles import nearest_rank
from photofinish.perf.record.changes import NotRunError
from photofinish.perf.rivals.process import RivalProcess
from tests.conftest import CHECKOUT

SLEEPING = "tests.perf.rivals.sleeping"


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    np.save(tmp_path / "frames.npy", np.zeros((3, 8, 8, 3), np.uint8))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    return {"frames": str(tmp_path / "frames.npy")}


def test_blocks_are_timed_inside_the_process_and_its_boxes_come_best_first(job: dict[str, object]) -> None:
    boxes = [[0, 0, 10, 10, 0.3, 2], [5, 5, 20, 20, 0.9, 1]]
    with RivalProcess(SLEEPING, {**job, "sleep_s": 0.004, "boxes": boxes}) as process:
        process.wait_until_ready()
        samples = process.block(0.2, lead_in=2)
        found = process.boxes()
    assert samples.scheduled_ns == samples.sent_ns == (0, *samples.done_ns[:-1])
    assert samples.window_ns == samples.done_ns[-1] >= 200_000_000
    assert nearest_rank(samples.latency_ns, 0.5) >= 4_000_000
    assert len(found) == 3
    assert found[0].confidence.tolist() == pytest.approx([0.9, 0.3])
    assert found[0].class_id.tolist() == [1, 2]
    assert not is_alive(process.pid)


def test_its_processor_time_is_that_of_its_blocks(job: dict[str, object]) -> None:
    with RivalProcess(SLEEPING, {**job, "sleep_s": 0.002, "spins": True}) as process:
        process.wait_until_ready()
        assert process.cpu_s() == 0
        process.block(0.2)
        spun_s = process.cpu_s()
    with RivalProcess(SLEEPING, {**job, "sleep_s": 0.002}) as process:
        process.wait_until_ready()
        process.block(0.2)
        assert process.cpu_s() < spun_s / 2


def test_a_block_of_no_length_is_one_frame(job: dict[str, object]) -> None:
    with RivalProcess(SLEEPING, job) as process:
        process.wait_until_ready()
        assert process.block(0.0).request_count == 1


@pytest.mark.parametrize("dies", [0, 1, 3])
def test_a_process_that_dies_says_of_what(job: dict[str, object], dies: int) -> None:
    with RivalProcess(SLEEPING, {**job, "dies": dies}) as process:
        if dies:
            process.wait_until_ready()
        for _ in range(2):
            with pytest.raises(NotRunError, match="ended with exit code 7, saying: out of memory"):
                process.block(1.0)


def test_a_silent_process_is_given_up(job: dict[str, object]) -> None:
    with (
        RivalProcess(SLEEPING, {**job, "sleep_s": 30}) as process,
        pytest.raises(NotRunError, match=r"no answer in 0\.2 s"),
    ):
        process.wait_until_ready(timeout_s=0.2)
    assert not is_alive(process.pid)


def test_it_gets_the_environment_that_was_asked_for(job: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with RivalProcess(SLEEPING, job, environment={"NVIDIA_TF32_OVERRIDE": "0"}) as process:
        process.wait_until_ready()
        words = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert b"NVIDIA_TF32_OVERRIDE=0" in words
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
