"""A program gets its secret word, and nobody reads it in the command line at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.access import hidden_words
from photofinish.access.hidden_words import command_hiding, start_hiding
from photofinish.machine.processes import command_line

SECRET = "--token=ü" + "s3cret" * 2000
CODE = "import sys; print(sys.argv[1:] == ['a', '$OTHER', sys.stdin.readline().strip(), ''], flush=True); input()"
WORDS = [sys.executable, "-c", CODE, "a", "$OTHER", "$WORD", ""]


def start(**options: object) -> subprocess.Popen[str]:
    return start_hiding(
        WORDS, {"WORD": SECRET}, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )


def gets_the_word(process: subprocess.Popen[str]) -> bool:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{SECRET}\n")
    process.stdin.flush()
    return process.stdout.readline() == "True\n"


def test_the_program_has_the_word_and_its_command_line_has_not() -> None:
    visible: list[str] = []
    process = start(on_visible=visible.append)
    with process:
        assert command_line(process.pid)[:-1] == WORDS
        assert gets_the_word(process)
        assert command_line(process.pid)[:-1] == WORDS
        assert Path(f"/proc/{process.pid}/environ").stat().st_mode & 0o077 == 0
        process.communicate("\n")
    assert (visible, process.returncode) == ([], 0)


def test_where_it_cannot_be_hidden_the_program_runs_all_the_same_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hidden_words, "_START_OF_STACK", 400)
    visible: list[str] = []
    with start(on_visible=visible.append) as process:
        assert gets_the_word(process)
        assert SECRET in command_line(process.pid)
        process.communicate("\n")
    assert len(visible) == 1
    assert "memory cannot be written" in visible[0]


def test_a_system_that_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_words, "_PTRACE_TRACEME", 4242)
    visible: list[str] = []
    with start(on_visible=visible.append) as process:
        assert gets_the_word(process)
        process.communicate("\n")
    assert visible == ["this system does not let a program stop its own child (ptrace)"]


def test_a_program_that_is_not_there_is_an_error_as_ever() -> None:
    with pytest.raises(FileNotFoundError):
        start_hiding(["/nowhere", "$WORD"], {"WORD": "x"}, env=os.environ)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 7), (signal.SIGKILL, -signal.SIGKILL)])
def test_started_by_its_own_program_it_ends_as_that_does(number: signal.Signals, code: int) -> None:
    program = (
        "import os, signal, sys; signal.signal(signal.SIGINT, lambda *_: os._exit(7)); "
        "print(os.getpid(), sys.argv[1], flush=True); signal.pause()"
    )
    command = command_hiding([sys.executable, "-c", program, "$WORD"])
    environment = {**os.environ, "WORD": "s3cret"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        pid, word = process.stdout.readline().split()
        assert word == "s3cret"
        assert "s3cret" not in " ".join(command_line(int(pid)) + command_line(process.pid))
        process.send_signal(number)
        assert process.wait(60) == code
        process.stdout.read()  # ends with the program, which does not outlive its starter
