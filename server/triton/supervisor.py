"""Runs tritonserver for a parent process and leaves nothing behind, however either of them ends.

Started as a script, in a session of its own, with one JSON argument; it imports the standard library only, and runs
one file of ours beside it. Words of the command that begin with `$` stand in its environment. It prints one JSON line
with the server's process id, then waits until the server ends or stands still, or its standard input closes (the parent
asked, or died), or a signal comes. Then it stops the whole process group, removes the server's shared memory and the
run folder, and prints another line that says how the server ended, where that was by itself. Meanwhile it keeps the log
short.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import runpy
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import BinaryIO

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.2
STOPPED_S = 3.0
"""A server that is stopped (SIGSTOP) for so long is ended: to its clients it is one that hangs."""
LAST_WORDS_S = 0.2
"""What a server that stops may still send once its model processes have ended. By itself it looks again after 1 s."""
SHARED_MEMORY = Path("/dev/shm")
MAX_LOG_BYTES = 32 << 20
"""A log that grows beyond it loses its middle: its first and its last KEPT_LOG_BYTES stay."""
KEPT_LOG_BYTES = 1 << 20


def main() -> int:
    """Run the server that the JSON argument describes; return its exit code."""
    plan = json.loads(sys.argv[1])
    parent_pid = plan["parent_pid"]
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    # What is started later may have as many files open.
    resource.setrlimit(resource.RLIMIT_NOFILE, (plan["descriptors"], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    run_folder, log_path = Path(plan["run_folder"]), Path(plan["log_path"])
    try:
        with log_path.open("ab") as log:
            secrets = {word[1:]: os.environ[word[1:]] for word in plan["command"] if word.startswith("$")}
            start_hiding = runpy.run_path(plan["hidden_words"])["start_hiding"]
            server: subprocess.Popen[bytes] = start_hiding(
                plan["command"],
                secrets,
                env={**os.environ, **plan["server_environment"]},
                before_exec=lambda: _die_with_supervisor(libc),
                on_visible=lambda reason: _note(log, f"the token stands in the command line: {reason}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=run_folder,
            )
        try:
            sys.stdout.write(json.dumps({"pid": server.pid}) + "\n")
            sys.stdout.flush()
            end = _wait(server, parent_pid, log_path)
        finally:
            _stop_group(server, plan["stop_timeout_s"])
    except BrokenPipeError:  # the parent died before it could read
        return 0
    finally:
        remove_shared_memory(plan["shm_prefix"])
        if plan["token_path"]:
            with contextlib.suppress(OSError):
                Path(plan["token_path"]).unlink()
        shutil.rmtree(run_folder, ignore_errors=True)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({"end": end}) + "\n")
        sys.stdout.flush()
    return 0 if server.returncode == 0 else 1


_asked_by: list[int] = []
"""Signals that asked this process to stop. They raise nothing: what they interrupt, such as a look at the server under
its lock, must be whole when the server is stopped."""


def _stop(number: int, frame: FrameType | None) -> None:
    _asked_by.append(number)


def _die_with_supervisor(libc: ctypes.CDLL) -> None:
    """Run in the server before exec: a process group of its own, files for its user alone, death with this process."""
    os.setpgid(0, 0)
    os.umask(0o077)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _note(log: BinaryIO, text: str) -> None:
    log.write(f"photofinish: {text}\n".encode())
    log.flush()


def _wait(server: subprocess.Popen[bytes], parent_pid: int, log_path: Path) -> str:
    """How the server ended, or "" when it is to be stopped."""
    stopped_s = 0.0
    while os.getppid() == parent_pid and not _asked_by:
        if (code := server.poll()) is not None:
            return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"
        shorten_log(log_path)
        readable, _, _ = select.select([sys.stdin], [], [], POLL_S)
        if readable:
            return ""
        stopped_s = stopped_s + POLL_S if is_stopped(server.pid) else 0.0
        if stopped_s > STOPPED_S:
            server.kill()
            return f"it was stopped (SIGSTOP) for {STOPPED_S:.0f} s"
    return f"its supervisor was ended by {signal.Signals(_asked_by[0]).name}" if _asked_by else ""


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process."""
    return _state_of(pid) == b"T"


def _state_of(pid: int) -> bytes:
    """The kernel's letter for the process's state; b"" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return b""


def shorten_log(path: Path) -> None:
    """Take the middle out of a log that has become too long; the server goes on writing at its end."""
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        if size <= MAX_LOG_BYTES:
            return
        with path.open("r+b") as log:
            log.seek(size - KEPT_LOG_BYTES)
            end = log.read(KEPT_LOG_BYTES)
            log.truncate(KEPT_LOG_BYTES)
        left_out = size - 2 * KEPT_LOG_BYTES
        with path.open("ab") as log:
            log.write(b"\n[%d MiB of this log were left out here: it grew too long]\n" % (left_out >> 20) + end)


def _stop_group(server: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Ask the server to stop and wait until its models have, then end what is left of its process group and reap it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    server.terminate()
    server.send_signal(signal.SIGCONT)
    _wait_until_unloaded(server, timeout_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def _wait_until_unloaded(server: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Return when the server has ended, or has had no process below it for LAST_WORDS_S; after `timeout_s` anyway."""
    deadline = time.monotonic() + timeout_s
    busy = time.monotonic()
    while server.poll() is None and time.monotonic() < min(deadline, busy + LAST_WORDS_S):
        if _has_children(server.pid):
            busy = time.monotonic()
        time.sleep(0.01)


def _has_children(pid: int) -> bool:
    """Whether processes run below it, ended ones left aside; True where the kernel does not tell."""
    try:
        told = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # a thread ended meanwhile
        return True
    return not told or any(_state_of(int(child)) not in (b"Z", b"") for child in " ".join(told).split())


def remove_shared_memory(prefix: str) -> None:
    """Remove the shared-memory files whose name begins with `prefix`, as far as they are this user's."""
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
