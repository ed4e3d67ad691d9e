"""What was measured on this machine before: the gain over plain PyTorch, and what each step bought."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from photofinish.client.ui.words import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderStep:
    """One step from the baseline on. rung: its key; name: what it is called, by language; ms: the median latency.

    times: the first step's median over its own; None where that gain is not valid, or no difference was shown.
    """

    rung: str
    name: Mapping[Language, str]
    ms: float
    times: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """Of one variant, from records of this machine. plain_ratio: frames a second over plain PyTorch without a server.

    plain_at, ladder_at: when, as 2026-11-20; "" where there is no such record.
    """

    plain_ratio: float | None = None
    plain_at: str = ""
    ladder: tuple[LadderStep, ...] = field(default=())
    ladder_at: str = ""


Recall = Callable[[str, str], MachineRecord]
"""What is known of a variant by name and weights' hash. Reads files, and may take seconds."""


def nothing_measured(model: str, weights_sha256: str) -> MachineRecord:
    """Where nobody keeps records."""
    return MachineRecord()


class Recollection:
    """Recalls once for each variant, in a thread of its own: a page that asks never waits."""

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._known: dict[tuple[str, str], MachineRecord | None] = {}
        self._lock = threading.Lock()

    def of(self, model: str, weights_sha256: str) -> MachineRecord | None:
        """What is known of the variant; None until it has been looked for."""
        key = (model, weights_sha256)
        with self._lock:
            if key not in self._known:
                self._known[key] = None
                threading.Thread(target=self._look, args=key, name="recall", daemon=True).start()
            return self._known[key]

    def forget(self) -> None:
        """Look again when asked next: something has been measured meanwhile."""
        with self._lock:
            self._known.clear()

    def _look(self, model: str, weights_sha256: str) -> None:
        found = self._recall(model, weights_sha256)
        with self._lock:
            self._known[(model, weights_sha256)] = found
