"""Every published variant at hand: the embedded server serves what the view wants of them, on the same ports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import PhotofinishError
from photofinish.machine.gpu import gpu_handles, opened_nvml

if TYPE_CHECKING:
    from threading import Event

    from photofinish.model_card import ModelCard
    from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

POLL_S = 0.5

StartServer = Callable[[tuple[str, ...], "ServerEndpoint | None"], "EmbeddedServer"]
"""A server for these variants, not yet started: on free ports, or on those of an earlier one."""


class PublishedShelf:
    """A server within a block, and all that the repository holds.

    A request cannot make this server load a model, whoever sends it: what is wanted beside is loaded by a new start.
    """

    def __init__(
        self,
        repository: Path,
        names: Sequence[str],
        start: StartServer,
        *,
        has_gpu: Callable[[], bool] = lambda: has_gpu_here(),
    ) -> None:
        """names: what it serves from the beginning."""
        self._repository = repository
        self._names = tuple(names)
        self._start = start
        self._has_gpu = has_gpu
        self._lock = threading.RLock()
        self._resources = ExitStack()

    def __enter__(self) -> PublishedShelf:
        """Start the server; returns when it is ready."""
        self._server = self._resources.enter_context(self._start(self._names, None))
        self.endpoint = self._server.endpoint
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop whichever server runs."""
        self._resources.close()

    @property
    def server(self) -> EmbeddedServer:
        """The server that runs now."""
        return self._server

    def cards(self) -> Mapping[str, ModelCard]:
        """The cards of the published variants that this machine can run."""
        from photofinish.flows.bench import cards_in

        cards, _ = cards_in(self._repository)
        may_use_gpu = self._has_gpu()
        return {name: card for name, card in cards.items() if card.device == "cpu" or may_use_gpu}

    def load(self, names: Sequence[str]) -> None:
        """Serve these; a server that has them goes on. One that cannot load them is replaced by the last that could."""
        with self._lock:
            if set(names) <= set(self._names):
                return
            before, wanted = self._names, tuple(dict.fromkeys(names))
            try:
                self._restart(wanted)
            except PhotofinishError:
                self._restart(before)
                raise

    def restart(self) -> None:
        """Start the server again as it was."""
        with self._lock:
            self._restart(self._names)

    def _restart(self, names: tuple[str, ...]) -> None:
        self._server.stop()
        self._server = self._resources.enter_context(self._start(names, self.endpoint))
        self._names = names

    def is_stopped_by_user(self, stop: Event) -> bool:
        """Waits. True once the user stops, False as soon as the server has ended by itself."""
        while True:
            with self._lock:  # not while another is being started
                if not self._server.is_alive():
                    return stop.is_set()
            if stop.wait(POLL_S):
                return True


def has_gpu_here() -> bool:
    """Whether this machine has an NVIDIA GPU that its driver tells of."""
    with opened_nvml() as nvml:
        return nvml is not None and bool(gpu_handles(nvml))
