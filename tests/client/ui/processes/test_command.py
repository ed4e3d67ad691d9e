"""A command in a process of its own: its lines, its end, and that it does not outlive its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from photofinish.client.ui.processes import command
from photofinish.client.ui.processes.command import CommandRun
from photofinish.machine.processes import is_alive
from tests.client.fake_triton import wait_for


def test_lines_status_and_why_it_failed() -> None:
    lines: list[str] = []
    run = CommandRun(("detect", "nowhere.jpg", "--url", "127.0.0.1:1"), on_line=lines.append)
    assert run.wait(60) == 1
    assert run.why_it_failed().startswith("nowhere.jpg does not exist")
    assert lines[-1].startswith("photofinish: nowhere.jpg does not exist")
    run.stop()


def test_a_password_among_its_words_is_seen_by_no_other_user() -> None:
    run = CommandRun(("detect", "rtsp://u:secret@127.0.0.1:1/live", "--url", "127.0.0.1:1"))
    seen = Path(f"/proc/{run.pid}/cmdline").read_bytes()
    assert b"127.0.0.1:1/live" in seen, "what runs can be told"
    assert b"secret" not in seen
    assert run.wait(60) == 1
    assert "127.0.0.1:1/live" in run.why_it_failed(), "it heard the whole address"


def test_stop_ends_it_as_ctrl_c_would() -> None:
    lines: list[str] = []
    run = CommandRun(("calibrate", "synthetic", "--out", "/proc/none"), on_line=lines.append)
    assert run.wait(0.0) is None
    begun = time.monotonic()
    run.stop()
    assert time.monotonic() - begun < 14
    assert not is_alive(run.pid)


def test_what_it_started_ends_with_it_also_where_it_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    stubborn = f"""
import signal, subprocess, sys, time
sys.stdin.readline()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(started)!r}, "w").write(f"{{child.pid}}\\n")
time.sleep(600)
"""
    monkeypatch.setattr(command, "_GUARD", stubborn)
    run = CommandRun(("detect",), grace_s=0.1)
    wait_for(lambda: started.is_file() and started.read_text().endswith("\n"), 60)
    grandchild = int(started.read_text())
    assert is_alive(grandchild)
    run.stop()
    assert not is_alive(run.pid)
    wait_for(lambda: not is_alive(grandchild), 60)
    ended: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: ended.append(group))
    run.stop()
    assert ended == [], "by then the number may be another's"


def test_it_ends_with_the_process_that_started_it() -> None:
    program = (
        "import time; from photofinish.client.ui.processes.command import CommandRun;"
        "run = CommandRun(('detect', 'synthetic', '--url', '127.0.0.1:1', '--timeout', '600'));"
        "print(run.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(owner.stdout.readline()) if owner.stdout else 0
        os.kill(owner.pid, signal.SIGKILL)
    finally:
        owner.kill()
        owner.communicate()
    wait_for(lambda: not is_alive(pid), 60)
