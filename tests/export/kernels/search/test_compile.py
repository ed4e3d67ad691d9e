from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import pytest

from photofinish.export.kernels.search import compile as search_compile
from tests.export.kernels.cases import CASES


class Pool:
    """In the place of processes: what is begun never ends."""

    def __init__(self, workers: int, *, mp_context: object) -> None:
        self.is_shut_down = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self.is_shut_down

    def submit(self, *args: Any) -> concurrent.futures.Future[str]:
        return concurrent.futures.Future()

    def shutdown(self, *, wait: bool, cancel_futures: bool) -> None:
        self.is_shut_down = cancel_futures and not wait


def test_what_is_not_compiled_in_time_is_told_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Python 3.10 the time limit ended the whole search: its TimeoutError is not the one of futures."""

    class FuturesTimeoutError(Exception):
        """As in Python 3.10: no relative of TimeoutError."""

    def as_completed(futures: object, timeout: float) -> Any:
        raise FuturesTimeoutError

    monkeypatch.setattr(search_compile, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(search_compile, "as_completed", as_completed)
    monkeypatch.setattr(search_compile, "FutureTimeoutError", FuturesTimeoutError, raising=False)
    jobs = [(layer, tile) for _, layer, tile in CASES[:2]]
    fates = search_compile.compile_jobs(jobs, 90, workers=1, deadline_s=time.monotonic(), on_progress=lambda *_: None)
    assert fates == dict.fromkeys(jobs, "not in time")
