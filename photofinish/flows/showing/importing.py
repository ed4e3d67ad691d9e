"""Modules that take seconds to import, imported beside work that waits for others."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def imported_meanwhile(modules: Sequence[str]) -> Iterator[None]:
    """Import them in a thread from the block's beginning on; the thread has ended at its end.

    Whoever needs one within the block imports it as always, and waits no longer than for the rest of it. What an import
    raises is raised there, and not here.
    """
    is_over = threading.Event()

    def work() -> None:
        for module in modules:
            if is_over.is_set():
                return
            with suppress(Exception):  # told where it is needed
                importlib.import_module(module)

    thread = threading.Thread(target=work, name="imports", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
