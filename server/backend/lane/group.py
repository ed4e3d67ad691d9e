"""Several models in one process, and one context on a GPU: to each a lane, an engine and a thread of its own.

An engine that ends the process ends it for all of them, and so does one that breaks the GPU's context.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..batches import Arrays, Part
from ..model import LANES, lane_count
from .account import Account
from .end import FUTEX_WAKE, LaneEnd
from .process import receive_arguments, send_lines
from .serving import load, serve


class LaneClosedError(Exception):
    """The bridge has closed its end: the model is wanted no longer."""


class PlaceLane(LaneEnd):
    """The end of a lane beside others: it sleeps where they could run, and can be closed while the process goes on.

    is_broken: whether an error is the end of all models here.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As LaneEnd."""
        super().__init__(*args, **kwargs)
        self.may_look = False  # it would look with the interpreter's lock held, which the others need
        self.is_broken: Callable[[], bool] = lambda: False
        self._is_closed = False

    def wait(self) -> list[Part | Exception]:
        """The next execution. Raises LaneClosedError when no other one comes."""
        parts = super().wait()
        if self._is_closed:
            raise LaneClosedError
        return parts

    def answer(self, results: Sequence[Arrays | Exception], input_ns: int = 0, output_ns: int = 0) -> None:
        """As LaneEnd, unless no model here can answer any more: then the next process can."""
        if any(isinstance(result, Exception) for result in results) and self.is_broken():
            sys.stderr.write(f"photofinish: the GPU's context is of no use any more: {list(results)}\n")
            os._exit(1)
        super().answer(results, input_ns, output_ns)

    def hang_up(self) -> None:
        """From any thread: nothing is asked any more, and `wait` need not wait."""
        self._is_closed = True
        for slot in self._lane.slots:
            slot.request_count = 0
        self._lane.asked = (self._lane.asked + 1) % (1 << 32)
        self._futex(0, FUTEX_WAKE, 1)

    def close(self) -> None:
        """Let go of the clients' memory, and of the lane's."""
        self._regions.drop_all()
        with contextlib.suppress(BufferError):  # it goes with whoever still looks at it
            self._memory.close()


def serve_group(bridge: socket.socket) -> NoReturn:
    """Take in one model after the other, until the bridge closes its end."""
    account = Account()
    if lane_count() > 1:
        sys.stderr.write(f"photofinish: models that share a process have one lane each, whatever {LANES} says\n")
    while True:
        try:
            word, files, _, _ = socket.recv_fds(bridge, 1, 2)
        except OSError:
            word = b""
        if not word:
            os._exit(0)
        memory_file, place_file = files
        place = socket.socket(fileno=place_file)
        try:
            threading.Thread(target=_hold, args=(place, memory_file, account), daemon=True).start()
        except RuntimeError as exc:  # no thread is left
            send_lines(place, [f"refused\t{exc}; allow more threads (ulimit -u) or serve without PHOTOFINISH_GROUP"])
            place.close()
            os.close(memory_file)


def _hold(place: socket.socket, memory_file: int, account: Account) -> None:
    """One model from its arguments to its end. The bridge's end of the socket sees it when its memory is free."""
    try:
        arguments = {**receive_arguments(place), "group": ""}
        with contextlib.suppress(ConnectionError):  # the bridge gave up while it was loaded
            _serve(place, memory_file, arguments, account)
        gc.collect()
        give_back()
        account.leave(arguments["model_instance_name"])
        if account.is_broken():  # by a model that could not be loaded
            os._exit(1)
    except (EOFError, ConnectionError):  # it gave up before
        pass
    except BaseException:  # as a process of its own would end
        traceback.print_exc()
        os._exit(1)
    os.close(memory_file)
    place.close()


def _serve(place: socket.socket, memory_file: int, arguments: dict[str, str], account: Account) -> None:
    """One model until the bridge closes its end; nothing but garbage is left of it then."""
    served = load(place, arguments, memory_file, lane_type=PlaceLane, account=account)
    if served is None:
        return
    lane, model, engine = served
    assert isinstance(lane, PlaceLane)
    lane.is_broken = account.is_broken

    def watch() -> None:
        with contextlib.suppress(OSError):
            place.recv(1)
        lane.hang_up()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with contextlib.suppress(LaneClosedError):
        serve(lane, model, engine)
    watcher.join()
    if engine.batch is not None:
        engine.batch.forget_pages(lane.address, lane.sizes.total)
    lane.close()


def give_back() -> None:
    """Free what libraries keep for later of a model that went."""
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    ctypes.CDLL(None).malloc_trim(0)
