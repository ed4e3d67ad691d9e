"""Every published variant at hand: the embedded server serves what the view wants of them, on the same ports."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import PhotofinishError
from photofinish.flows.showing.core_groups import CoreGroup, model_cores
from photofinish.machine.gpu import gpu_handles, opened_nvml

if TYPE_CHECKING:
    from threading import Event

    from photofinish.model_card import ModelCard
    from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

POLL_S = 0.5
RECOVERY_S = 20.0
"""After a new start, until who lost the server has tried again."""

StartServer = Callable[[tuple[str, ...], "ServerEndpoint | None", Mapping[str, CoreGroup]], "EmbeddedServer"]
"""A server for these variants, not yet started: on free ports, or on those of an earlier one.

The last says on which cores a variant's model computes; the others compute on all.
"""


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
        groups: tuple[CoreGroup, CoreGroup] | None = None,
        has_gpu: Callable[[], bool] = lambda: has_gpu_here(),
    ) -> None:
        """names: what it serves from the beginning. groups: of cores, one for each of two variants without a GPU."""
        self._groups = groups
        self._shared: Mapping[str, CoreGroup] = {}
        self._is_closing = False
        self._is_changing = False
        self._recovers_until_s = 0.0
        self._repository = repository
        self._names = tuple(names)
        self._start = start
        self._has_gpu = has_gpu
        self._lock = threading.RLock()
        self._resources = ExitStack()

    def __enter__(self) -> PublishedShelf:
        """Start the server; returns when it is ready."""
        self._shared = self._shared_among(self._names)
        self._server = self._resources.enter_context(self._start(self._names, None, self._models_cores()))
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

    def cores(self, name: str) -> CoreGroup:
        """The core group of the side that shows this variant; () where models share the cores."""
        return self._shared.get(name, ())

    def load(self, names: Sequence[str]) -> None:
        """Serve these; a server that has them goes on. One that cannot load them is replaced by the last that could."""
        with self._lock:
            wanted = tuple(dict.fromkeys(names))
            shared = self._shared_among(wanted)
            if set(wanted) <= set(self._names) and shared == self._shared:
                return
            self._restart_or_go_back(wanted, shared)

    def restart(self) -> None:
        """Start the server again as it was."""
        with self._lock:
            self._recovers_until_s = math.inf
            try:
                self._restart(self._names, self._shared)
            finally:
                self._recovers_until_s = time.monotonic() + RECOVERY_S

    def is_recovering(self) -> bool:
        """Whether the server ended by itself, and is being started again or was a moment ago."""
        has_ended = not self._is_changing and not self._server.is_alive()
        return has_ended or time.monotonic() < self._recovers_until_s

    @contextmanager
    def all_cores(self) -> Iterator[None]:
        """While the block runs, every model computes on all cores. A server that kept them to groups begins anew."""
        with self._lock:
            shared = self._shared
            if shared:
                self._restart_or_go_back(self._names, {})
        try:
            yield
        finally:
            with self._lock, suppress(PhotofinishError):  # a server that is gone is told, and started, by who waits
                if shared and not self._is_closing:
                    self._restart(self._names, shared)

    def _shared_among(self, names: Sequence[str]) -> Mapping[str, CoreGroup]:
        """A group for each of two variants that compute on the processor; the same ones, whichever side shows them."""
        cards = self.cards() if self._groups and len(set(names)) == 2 else {}
        if self._groups is None or not all(name in cards and cards[name].device == "cpu" for name in names):
            return {}
        return dict(zip(sorted(names), self._groups, strict=True)) if cards else {}

    def _models_cores(self) -> Mapping[str, CoreGroup]:
        return {name: model_cores(group) for name, group in self._shared.items()}

    def _restart_or_go_back(self, names: tuple[str, ...], shared: Mapping[str, CoreGroup]) -> None:
        before = self._names, self._shared
        try:
            self._restart(names, shared)
        except PhotofinishError:
            self._restart(*before)
            raise

    def _restart(self, names: tuple[str, ...], shared: Mapping[str, CoreGroup]) -> None:
        self._is_changing = True
        try:
            self._server.stop()
            self._shared = shared
            self._server = self._resources.enter_context(self._start(names, self.endpoint, self._models_cores()))
            self._names = names
        finally:
            self._is_changing = False

    def is_stopped_by_user(self, stop: Event) -> bool:
        """Waits. True once the user stops, False as soon as the server has ended by itself."""
        while True:
            with self._lock:  # not while another is being started
                if not self._server.is_alive():
                    return stop.is_set()
            if stop.wait(POLL_S):
                self._is_closing = True
                return True


def has_gpu_here() -> bool:
    """Whether this machine has an NVIDIA GPU that its driver tells of."""
    with opened_nvml() as nvml:
        return nvml is not None and bool(gpu_handles(nvml))
