"""The command line in `ps`, of real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.address.command_line import public_arguments

CODE = (
    "import sys; from photofinish.address.command_line import hide_passwords_in_process_title as hide; "
    "print(hide(sys.argv[1:]), flush=True); sys.stdin.read()"
)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="another system than Linux")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["detect", "rtsp://admin:hunter2@cam/1", "--json"], ["detect", "rtsp://cam/1", "--json"]),
        (["--source=rtsp://ü:pw@cam", "--source-password", "p"], ["--source=rtsp://cam", "--source-password", "*"]),
        (["--source-password=hunter2", "", "街.mp4"], ["--source-password=…", "", "街.mp4"]),
    ],
)  # fmt: skip
def test_passwords_are_taken_out(words, shown):
    command = [sys.executable, "-c", CODE, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        title = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        process.communicate()
    assert [word.strip() for word in title.split("\0")[3:-1]] == shown
    assert title.split("\0")[:3] == command[:3]


def test_a_command_line_without_passwords_stays():
    command = [sys.executable, "-c", CODE, "detect", "clip.mp4"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"


def test_a_command_line_without_its_secrets():
    words = ["detect", "rtsp://a:pw@cam/1", "--source-password", "pw", "--source=rtsp://a:pw@b", "--source-password=pw"]
    assert public_arguments(words) == [
        "detect", "rtsp://cam/1", "--source-password", "…", "--source=rtsp://b", "--source-password=…"
    ]  # fmt: skip
    plain = ["perf", "--limits", "a=b", "--url", "127.0.0.1:8001", "--weights", "torchvision:resnet18"]
    assert public_arguments(plain) == plain
