from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from photofinish.client.ui.processes.child import ChildLink, SupervisedChild
from photofinish.errors import SourceError
from tests.client.fake_triton import wait_for


def work_quietly(link: ChildLink) -> None:
    link.report_running(answer=42)
    while not link.is_stopping:
        time.sleep(0.01)


def fail_plainly(link: ChildLink) -> None:
    raise SourceError("the camera is unplugged")


def fail_strangely(link: ChildLink) -> None:
    raise RuntimeError("a bug")


def hang(link: ChildLink) -> None:
    link.report_running()
    time.sleep(60)


def ignore_everything(link: ChildLink) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link.report_running()
    time.sleep(60)


def test_runs_reports_and_ends() -> None:
    with SupervisedChild("worker", work_quietly) as child:
        wait_for(lambda: child.status.state == "running", 60)
        assert child.status.facts == {"answer": 42}
        assert child.status.message == ""
        pid = child.status.pid
        assert pid is not None
    assert child.status.state == "stopped"
    assert not psutil.pid_exists(pid)


def test_a_killed_process_is_named_and_started_again() -> None:
    with SupervisedChild("the worker", work_quietly) as child:
        wait_for(lambda: child.status.state == "running", 60)
        first = child.status.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: child.status.state == "retrying", 60)
        assert child.status.message == "the worker was ended by SIGKILL. Trying again"
        wait_for(lambda: child.status.state == "running", 60)
        assert child.status.pid != first
        assert child.status.restarts == 1
        assert child.status.message == ""


def test_gives_up_after_its_limit() -> None:
    with SupervisedChild("the source", fail_plainly, give_up_s=1.0) as child:
        wait_for(lambda: child.status.state == "stopped", 60)
        assert child.status.message.startswith("the camera is unplugged. Given up after ")
        assert child.status.message.endswith("press Start to try again")


def test_an_unexpected_error_is_shown_too() -> None:
    with SupervisedChild("worker", fail_strangely) as child:
        wait_for(lambda: "unexpected RuntimeError: a bug" in child.status.message, 60)


def test_a_silent_process_is_ended_and_replaced() -> None:
    with SupervisedChild("worker", hang, silence_s=0.5) as child:
        wait_for(lambda: "gave no sign of life" in child.status.message, 60)


def test_closing_ends_a_process_that_will_not() -> None:
    child = SupervisedChild("worker", ignore_everything, grace_s=0.2)
    with child:
        wait_for(lambda: child.status.state == "running", 60)
        pid = child.status.pid
        assert pid is not None
    assert not psutil.pid_exists(pid)


OWNER = """
import sys, time
from photofinish.client.ui.processes.child import SupervisedChild
from tests.client.ui.processes.test_child import work_quietly

if __name__ == "__main__":
    with SupervisedChild("worker", work_quietly) as child:
        while child.status.state != "running":
            time.sleep(0.01)
        status = open(f"/proc/{child.status.pid}/status").read()
        print(child.status.pid, status.partition("SigBlk:")[2].split()[0], flush=True)
        time.sleep(60)
"""


def test_the_first_process_leaves_ctrl_c_to_its_owner_and_ends_with_a_killed_one(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    root = str(Path(__file__).resolve().parents[4])
    owner = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert owner.stdout is not None
    words = owner.stdout.readline().split()
    pid, blocked = int(words[0]), int(words[1], 16)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    # In a fresh interpreter, where the first spawn starts Python's tracker of resources as well.
    assert blocked & 1 << (signal.SIGINT - 1), "a terminal's Ctrl-C goes to every process: this one must not answer"
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 60)


def test_a_process_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine short of memory refuses new processes for a while."""
    process_class = multiprocessing.get_context("spawn").Process
    start, refusals = process_class.start, [OSError(11, "Resource temporarily unavailable")]

    def start_later(process: BaseProcess) -> None:
        if refusals:
            raise refusals.pop()
        start(process)

    monkeypatch.setattr(process_class, "start", start_later)
    with SupervisedChild("the worker", work_quietly) as child:
        wait_for(lambda: child.status.state == "retrying", 60)
        assert child.status.message == "the worker could not be started: Resource temporarily unavailable. Trying again"
        wait_for(lambda: child.status.state == "running", 60)
