"""A process of its own for one piece of work, kept alive within limits, its troubles told in plain words."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Literal, Protocol

from photofinish.errors import PhotofinishError

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 5.0
HEALTHY_AFTER_S = 10.0
"""A process that ran this long starts its retries from the beginning."""

ChildState = Literal["starting", "running", "retrying", "stopped"]


class ChildLink:
    """The child's end: what it may tell its owner, and whether it shall stop."""

    def __init__(self, messages: Connection, words: Any) -> None:
        """messages: pipe to the owner and back; words: shared [stop, heartbeat]."""
        self._messages = messages
        self._words = words

    @property
    def is_stopping(self) -> bool:
        """Whether to end now. Asking counts as a sign of life, so ask in every loop."""
        self._words[1] += 1
        return bool(self._words[0])

    def report_running(self, **facts: object) -> None:
        """Say that the work has begun, with facts for the screen."""
        self._messages.send(("running", facts))

    def report_waiting(self, message: str) -> None:
        """Say what the work waits for."""
        self._messages.send(("starting", message))

    def report_error(self, message: str, *, is_final: bool = False) -> None:
        """Say why the work ends. is_final: beginning again would end the same way."""
        self._messages.send(("final" if is_final else "error", message))

    def request(self, wish: object) -> None:
        """Ask the owner for something; `answer` brings what it says."""
        self._messages.send(("request", wish))

    def answer(self, timeout_s: float) -> Any:
        """The owner's next answer, never None; None when there was none in time."""
        return self._messages.recv() if self._messages.poll(timeout_s) else None


class FinalError(PhotofinishError):
    """Why a child's work ends for good: another attempt would meet the same, so there is none."""


Work = Callable[[ChildLink], None]
"""What a child does until `is_stopping`; picklable, since it travels to a spawned process."""


def _child_main(work: Work, messages: Connection, words: Any) -> None:
    signal.signal(signal.SIGTERM, _exit_on_signal)
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    link = ChildLink(messages, words)
    try:
        work(link)
    except PhotofinishError as exc:
        link.report_error(str(exc), is_final=isinstance(exc, FinalError))
        raise SystemExit(1) from exc
    except Exception as exc:  # the owner is another process: it must hear of everything
        link.report_error(f"unexpected {type(exc).__name__}: {exc}")
        raise


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class RequestHandler(Protocol):
    """The owner's part in what a child asks for. Called from the thread that supervises the child."""

    def hear(self, wish: Any, answer: Callable[[object], None]) -> None:
        """The child asks. `answer` may be called later, from any thread; once the child has ended it does nothing."""

    def end(self) -> None:
        """The child has ended, whyever: it asks for nothing any more and holds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    """What to show of a child. message: plain words, "" when all is well; facts: what it told of its work.

    is_final: it has stopped, and trying again would end the same way.
    """

    state: ChildState
    message: str = ""
    restarts: int = 0
    pid: int | None = None
    is_final: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class SupervisedChild:
    """Keeps one process at its work: restarts it after a delay when it ends, and gives up after `give_up_s`."""

    def __init__(
        self,
        name: str,
        work: Work,
        *,
        requests: RequestHandler | None = None,
        give_up_s: float = 600.0,
        silence_s: float = 60.0,
        grace_s: float = 5.0,
    ) -> None:
        """name: how the screen calls it. silence_s: without a sign of life for so long, it is ended and restarted."""
        self.name = name
        self._work = work
        self._requests = requests
        self._give_up_s = give_up_s
        self._silence_s = silence_s
        self._grace_s = grace_s
        self._closing = threading.Event()
        self._status = ChildStatus(state="starting", message="starting")
        self._thread = threading.Thread(target=self._supervise, name=f"supervise-{name}", daemon=True)

    @property
    def status(self) -> ChildStatus:
        """How the child is now."""
        return self._status

    def __enter__(self) -> SupervisedChild:
        """Start the process and its supervision."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the process: by asking, then SIGTERM, then SIGKILL."""
        self.begin_close()
        self._thread.join()

    def begin_close(self) -> None:
        """Ask for the end without waiting for it."""
        self._closing.set()

    def _supervise(self) -> None:
        # A terminal's Ctrl-C goes to every process; only the owner answers it. A spawned process inherits this mask.
        # Python's tracker of resources is started by the first spawn and leaves the mask without SIGINT: start it now.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        trouble_since = time.monotonic()
        delay_s = FIRST_DELAY_S
        while not self._closing.is_set():
            began = time.monotonic()
            reason = self._run_once()
            if self._closing.is_set():
                break
            if self._status.is_final:
                self._status = replace(self._status, state="stopped", message=reason, pid=None)
                return
            if time.monotonic() - began > HEALTHY_AFTER_S and self._status.state == "running":
                trouble_since, delay_s = time.monotonic(), FIRST_DELAY_S
            restarts = self._status.restarts + 1
            if time.monotonic() - trouble_since > self._give_up_s:
                message = f"{reason}. Given up after {restarts} attempts; press Start to try again"
                self._status = replace(self._status, state="stopped", message=message, pid=None)
                return
            message = f"{reason}. Trying again"
            self._status = replace(self._status, state="retrying", message=message, restarts=restarts, pid=None)
            self._closing.wait(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)
        self._status = replace(self._status, state="stopped", message="stopped", pid=None)

    def _run_once(self) -> str:
        """Run the process until it ends; why it ended, in plain words."""
        context = multiprocessing.get_context("spawn")
        words = context.RawArray(ctypes.c_int64, 2)
        receiver, sender = context.Pipe(duplex=True)
        process = context.Process(target=_child_main, args=(self._work, sender, words), daemon=True)
        try:
            process.start()
        except OSError as exc:
            receiver.close()
            return f"{self.name} could not be started: {exc.strerror or exc}"
        finally:
            sender.close()
        self._status = replace(self._status, pid=process.pid)
        try:
            return self._watch(process, receiver, words)
        finally:
            words[0] = 1
            if self._requests is not None:
                self._requests.end()
            _end(process, self._grace_s if self._closing.is_set() else 0.0)
            receiver.close()

    def _watch(self, process: BaseProcess, receiver: Connection, words: Any) -> str:
        error = ""
        heartbeat, heard = 0, time.monotonic()
        while not self._closing.is_set():
            ready = wait([receiver, process.sentinel], timeout=0.1)
            if receiver in ready:
                try:
                    kind, payload = receiver.recv()
                except (EOFError, OSError):
                    return error or _exit_reason(self.name, process)
                if kind == "request":
                    self._pass_on(payload, receiver)
                else:
                    error = self._apply(kind, payload) or error
            elif ready:
                return error or _exit_reason(self.name, process)
            if words[1] != heartbeat:
                heartbeat, heard = words[1], time.monotonic()
            elif time.monotonic() - heard > self._silence_s:
                return f"{self.name} gave no sign of life for {self._silence_s:.0f} s and was ended"
        return "stopped"

    def _pass_on(self, wish: Any, receiver: Connection) -> None:
        def answer(payload: object) -> None:
            with suppress(OSError):  # the child has ended; its supervision is about to notice
                receiver.send(payload)

        if self._requests is not None:
            self._requests.hear(wish, answer)

    def _apply(self, kind: str, payload: Any) -> str:
        """Take one message into the status; the text of an error, else ""."""
        if kind in ("error", "final"):
            self._status = replace(self._status, is_final=kind == "final")
            return str(payload)
        if kind == "running":
            self._status = replace(self._status, state="running", message="", facts={**self._status.facts, **payload})
        elif self._status.state != "retrying":
            self._status = replace(self._status, state="starting", message=str(payload))
        return ""


def _exit_reason(name: str, process: BaseProcess) -> str:
    process.join(5.0)  # a dying process closes its pipes a moment before its exit code is known
    code = process.exitcode
    if code is not None and code < 0:
        return f"{name} was ended by {signal.Signals(-code).name}"
    return f"{name} ended with exit code {code}"


def _end(process: BaseProcess, grace_s: float) -> None:
    process.join(grace_s)
    if process.is_alive():
        process.terminate()
        process.join(2.0)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()
