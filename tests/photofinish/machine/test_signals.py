"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from photofinish.machine import signals
from photofinish.machine.signals import StopSignal, exit_code, held_back, name_of_signal, stop_as_ctrl_c_does


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_raises_what_ctrl_c_raises(number: int) -> None:
    stop_as_ctrl_c_does()
    with pytest.raises(KeyboardInterrupt) as caught:
        signal.raise_signal(number)
    assert isinstance(caught.value, StopSignal)
    assert str(caught.value) == signal.Signals(number).name
    assert exit_code(caught.value) == 128 + number
    assert exit_code(KeyboardInterrupt()) == exit_code(None) == 130


def test_a_signal_that_comes_twice_at_once_asks_once() -> None:
    seconds = iter([0.0, 0.1, 1.9, 10.0])
    stop_as_ctrl_c_does(lambda: next(seconds))
    with pytest.raises(StopSignal):
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(StopSignal):
        signal.raise_signal(signal.SIGTERM)


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_as_ctrl_c_does()
    signal.raise_signal(signal.SIGHUP)


def test_a_forked_process_ends_by_the_signal() -> None:
    stop_as_ctrl_c_does()
    pid = os.fork()
    if pid == 0:
        signal.raise_signal(signal.SIGTERM)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block(number: int) -> None:
    stop_as_ctrl_c_does()
    done = []

    def work() -> None:
        with held_back():
            with held_back():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_thread_has_nothing_to_hold_back() -> None:
    done = []

    def work() -> None:
        with held_back():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert done


def test_signals_have_names() -> None:
    assert name_of_signal(9) == "SIGKILL"
    assert name_of_signal(99) == "signal 99"


@pytest.mark.parametrize(
    ("number", "said"), [(2, "stopped\n"), (15, "stopped by SIGTERM\n"), (1, "stopped by SIGHUP\n")]
)
def test_a_command_says_what_stopped_it(number: int, said: str) -> None:
    program = (
        "import click, signal, sys, photofinish.cli as c\n"
        "@c.cli.command('wait')\n"
        "def wait():\n"
        "    try:\n"
        "        print('waiting', flush=True); signal.pause(); signal.pause()\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "c.LazyGroup.get_command = lambda self, ctx, name: wait\n"
        "c.LazyGroup.resolve_command = click.Group.resolve_command\n"
        "sys.argv = ['photofinish', 'wait']; c.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "waiting\n"
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert time.monotonic() - begun < 5
        assert process.stdout.read() == "cleaned up\n"
        assert process.stderr.read().endswith(said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_a_library_makes_its_own_error_of_stops_all_the_same(number: int) -> None:
    keeps = "    if isinstance(came, photofinish.machine.signals.StopSignal): error.__context__ = None\n"
    program = (
        "import click, signal, sys, photofinish.machine.signals, photofinish.cli as c\n"
        "@c.cli.command('wait')\n"
        "def wait():\n"
        "    try:\n"
        "        print('waiting', flush=True); signal.pause()\n"
        "    except KeyboardInterrupt as exc:\n"
        "        came, error = exc, RuntimeError('a callback failed')\n"
        "        error.__context__ = exc\n" + keeps + "    raise error\n"
        "c.LazyGroup.get_command = lambda self, ctx, name: wait\n"
        "c.LazyGroup.resolve_command = click.Group.resolve_command\n"
        "sys.argv = ['photofinish', 'wait']; c.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        said = process.stderr.read()
    assert said.startswith("stopped")
    assert "Traceback" not in said


def test_a_signal_that_a_destructor_swallowed_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def use_library() -> None:
        Library()
        time.sleep(10)

    seconds = iter([0.0, 10.0])
    monkeypatch.setattr(signals, "_ASKED_AGAIN_AFTER_S", 0.01)
    stop_as_ctrl_c_does(lambda: next(seconds))
    with pytest.raises(StopSignal, match="SIGTERM"):
        use_library()


def test_what_else_a_destructor_raises_is_shown_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: shown.append(str(dropped.exc_value)))

    class Library:
        def __del__(self) -> None:
            raise ValueError("broken")

    stop_as_ctrl_c_does()
    Library()
    assert shown == ["broken"]


def test_a_command_that_is_done_ends_though_a_library_hangs_at_the_end() -> None:
    program = (
        "import atexit, click, sys, time, photofinish.cli as c\n"
        "atexit.register(time.sleep, 60)\n"
        "c.UNLOADED_WITHIN_S = 0.2\n"
        "c.LazyGroup.get_command = lambda self, ctx, name: click.Command('done', callback=lambda: None)\n"
        "c.LazyGroup.resolve_command = click.Group.resolve_command\n"
        "sys.argv = ['photofinish', 'done']; c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:00.2")
