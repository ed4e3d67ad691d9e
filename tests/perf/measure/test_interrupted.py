"""A run that is broken off, with the real server under it: what it leaves on the disk, and that nothing goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import psutil
import pytest

from photofinish.machine.processes import ProcessTree
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.record.record import read_record
from tests.builders import build_frame
from tests.perf.toy_repository import write_toy_repository

DEADLINE_S = 90.0
LONGEST_END_S = 30.0
"""From the signal to the end, the server stopped and the reports drawn; 2 to 6 s on a quiet machine."""


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not path.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.is_file(), f"no record after {DEADLINE_S:g} s, exit {process.poll()}"


def _alive(processes: list[psutil.Process]) -> list[str]:
    gone, alive = psutil.wait_procs(processes, timeout=15)
    assert gone or not processes
    return [process.name() for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("ending", "exit_code"),
    [("ctrl_c", 130), ("server_killed", 1), ("terminated", 143), ("hung_up", 129), ("killed", None)],
)
def test_a_broken_off_run_leaves_a_record_and_nothing_running(
    tmp_path: Path, ending: str, exit_code: int | None
) -> None:
    repository = write_toy_repository(tmp_path / "repository")
    cv2.imwrite(str(tmp_path / "frame.png"), build_frame().image_hwc_bgr)
    out = tmp_path / "c.json"
    command = [sys.executable, "-m", "photofinish.cli", "perf", "comparison", "--repository", str(repository)]
    command += [
        "--source",
        str(tmp_path / "frame.png"),
        "--out",
        str(out),
        "--rounds",
        "200",
        "--seconds",
        "0.3",
        "--no-rivals",
    ]
    process = subprocess.Popen([*command, "--optimised", "onnx_fp32"], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        _wait_for(out, process)
        below = [psutil.Process(pid) for pid in ProcessTree(process.pid).pids() - {process.pid}]
        servers = [item for item in below if item.name() == "tritonserver"]
        assert servers
        {
            "ctrl_c": lambda: process.send_signal(signal.SIGINT),
            "server_killed": servers[0].kill,
            "terminated": process.terminate,
            "hung_up": lambda: process.send_signal(signal.SIGHUP),
            "killed": process.kill,
        }[ending]()
        struck = time.monotonic()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert time.monotonic() - struck < LONGEST_END_S
    record = read_record(out)
    assert record.sections[0].blocks
    assert not record.is_complete
    verdict = findings_from_record(record).verdict
    assert verdict.validity == "INVALID"
    assert verdict.reasons[0].key == ("cut_off" if exit_code is None else "incomplete")
    assert _alive(below) == []
    assert "Traceback" not in said
    if exit_code is not None:
        assert process.returncode == exit_code, said
        assert "INVALID" in out.with_suffix(".html").read_text()
