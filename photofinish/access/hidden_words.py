"""A program started with words that its command line does not show.

Everybody on a machine can read everybody's command lines; the environment is its user's alone. Where a program takes a
secret as an option only, the option stands in its environment, and the kernel is made to hand it over: the new program
stops before its first instruction (ptrace), the pointer to the word is turned to the environment, and it runs on.

Imports the standard library only: the server's supervisor runs it as a file. As a program it starts the one that its
words name, passes signals on and ends as that ends: who has threads should not fork by himself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
_PTRACE_TRACEME, _PTRACE_DETACH = 0, 17
_START_OF_STACK = 25
"""Position in /proc/PID/stat, counted behind the process's name; proc(5) numbers it 28."""
_WORD = 8


def start_hiding(
    command: Sequence[str],
    secrets: Mapping[str, str],
    *,
    env: Mapping[str, str],
    before_exec: Callable[[], None] = lambda: None,
    on_visible: Callable[[str], None] = lambda reason: None,
    **options: Any,
) -> subprocess.Popen[Any]:
    """Start `command`, in which a word `$NAME` stands for secrets["NAME"]. Options: as Popen takes them.

    before_exec: run in the new process. on_visible: hears why the words stand in the command line all the same, where
    this system forbids to hide them.
    """
    if not secrets:
        return subprocess.Popen(list(command), env=dict(env), preexec_fn=before_exec, **options)
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_to_be_stopped() -> None:
        before_exec()
        if libc.ptrace(_PTRACE_TRACEME, 0, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace is forbidden")

    try:
        process: subprocess.Popen[Any] = subprocess.Popen(
            list(command), env={**env, **secrets}, preexec_fn=ask_to_be_stopped, **options
        )
    except subprocess.SubprocessError:  # what the child raises comes without its words
        reason = "this system does not let a program stop its own child (ptrace)"
    else:
        if (reason := _hand_over(libc, process.pid, secrets)) == "":
            return process
        process.kill()
        process.wait()
    on_visible(reason)
    plain = [secrets.get(word.removeprefix("$"), word) if word.startswith("$") else word for word in command]
    return subprocess.Popen(plain, env=dict(env), preexec_fn=before_exec, **options)


def _hand_over(libc: ctypes.CDLL, pid: int, secrets: Mapping[str, str]) -> str:
    """Turn the words of a program that has just been started, and let it run; why not, or ""."""
    try:
        if not os.WIFSTOPPED(os.waitpid(pid, 0)[1]):
            return "it did not stop"
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            _turn_words(memory.fileno(), int(fields[_START_OF_STACK]), secrets)
    except (OSError, ValueError, IndexError, struct.error) as exc:
        return f"its memory cannot be written: {exc}"
    if libc.ptrace(_PTRACE_DETACH, pid, None, None) != 0:
        return "it cannot be let go"
    return ""


def _turn_words(memory: int, stack: int, secrets: Mapping[str, str]) -> None:
    """memory: descriptor of the program's memory. stack: where the number of its words lies, then their addresses, a 0,
    and the addresses of the environment's."""

    def number(place: int) -> int:
        found: int = struct.unpack("=Q", os.pread(memory, _WORD, place))[0]
        return found

    def text(address: int) -> bytes:
        found = b""
        while b"\0" not in found:
            # To the end of a page at most: what lies behind it may be nobody's.
            part = os.pread(memory, 4096 - (address + len(found)) % 4096, address + len(found))
            if not part:
                raise ValueError("a word without an end")
            found += part
        return found.partition(b"\0")[0]

    count = number(stack)
    words = [stack + _WORD * (1 + index) for index in range(count)]
    places: dict[bytes, int] = {}
    place = stack + _WORD * (count + 2)
    while address := number(place):
        name, _, _ = text(address).partition(b"=")
        places[name] = address + len(name) + 1
        place += _WORD
    for word in words:
        shown = text(number(word))
        if shown.startswith(b"$") and os.fsdecode(shown[1:]) in secrets:
            os.pwrite(memory, struct.pack("=Q", places[shown[1:]]), word)


def command_hiding(command: Sequence[str]) -> list[str]:
    """The command that starts `command` by this file; each `$NAME` in it stands for that environment variable."""
    return [sys.executable, "-I", "-S", __file__, *command]


def main() -> int:
    """Start the program that the words name, and end as it ends."""
    command = sys.argv[1:]
    secrets = {word[1:]: os.environ[word[1:]] for word in command if word.startswith("$") and word[1:] in os.environ}
    libc = ctypes.CDLL(None)
    process = start_hiding(
        command,
        secrets,
        env=dict(os.environ),
        before_exec=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    code: int = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
