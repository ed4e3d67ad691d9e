"""Variants that the server has not loaded are loaded by a new start on the same ports; a failure goes back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from photofinish.errors import ModelRepositoryError
from photofinish.flows.showing.shelf import PublishedShelf
from photofinish.server.triton.embedded import ServerEndpoint
from tests.perf.toy_repository import write_toy_repository


class CountedServer:
    """Stands for the embedded server: knows what it was asked to serve, and at which ports."""

    def __init__(self, names: tuple[str, ...], at: ServerEndpoint | None, started: list[Any], told: Any = None) -> None:
        self._names, self._at, self._started, self._told = names, at, started, told or names
        self.is_running = False

    @property
    def endpoint(self) -> ServerEndpoint:
        url = self._at.grpc_url if self._at else "127.0.0.1:7"
        return ServerEndpoint(grpc_url=url, http_url=url, metrics_url=url, pid=1, kind="embedded")

    def __enter__(self) -> CountedServer:
        if "broken" in self._names:
            raise ModelRepositoryError("model broken cannot be loaded")
        self._started.append(self._told)
        self.is_running = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.is_running = False

    def is_alive(self) -> bool:
        return self.is_running


def test_what_is_wanted_is_loaded_and_what_cannot_be_goes_back(tmp_path: Path) -> None:
    started: list[tuple[str, ...]] = []
    shelf = PublishedShelf(tmp_path, ("a", "b"), lambda names, at, _: CountedServer(names, at, started))  # type: ignore
    with shelf:
        at = shelf.endpoint
        shelf.load(("b", "a"))
        assert started == [("a", "b")], "what it serves already needs no new start"
        shelf.load(("a", "c"))
        assert started[-1] == ("a", "c")
        with pytest.raises(ModelRepositoryError, match="broken"):
            shelf.load(("a", "broken"))
        assert started[-1] == ("a", "c")
        assert shelf.server.endpoint.grpc_url == at.grpc_url
        assert not shelf.is_recovering(), "what the user chose is no fault of the server"
        shelf.server.stop()
        assert shelf.is_recovering()
        assert shelf.is_stopped_by_user(threading.Event()) is False
        shelf.restart()
        assert shelf.is_recovering(), "the view's sides have not tried again yet"
        stop = threading.Event()
        stop.set()
        assert shelf.is_stopped_by_user(stop) is True
        last = shelf.server
    assert not last.is_alive()


TORCH, ONNX = "toy_torch_fp32_tensor", "toy_onnx_fp32"
HALVES = {ONNX: (0, 1, 2), TORCH: (4, 5, 6)}
"""What each model computes on, by name and whichever side shows it; of four cores one is left to the client."""


def test_two_models_have_a_core_group_each_and_all_cores_while_something_is_measured(tmp_path: Path) -> None:
    write_toy_repository(tmp_path, published_ns=1)
    started: list[Any] = []

    def start(names: tuple[str, ...], at: ServerEndpoint | None, cores: Any) -> CountedServer:
        return CountedServer(names, at, started, (names, dict(cores)))

    pair = (TORCH, ONNX)
    shelf = PublishedShelf(tmp_path, pair, start, groups=((0, 1, 2, 3), (4, 5, 6, 7)))  # type: ignore
    with shelf:
        assert started == [(pair, HALVES)]
        assert (shelf.cores(ONNX), shelf.cores(TORCH)) == ((0, 1, 2, 3), (4, 5, 6, 7))
        shelf.load((ONNX, TORCH))
        assert len(started) == 1, "the sides were exchanged, not the models"
        with shelf.all_cores():
            assert started[1:] == [(pair, {})]
            assert shelf.cores(ONNX) == ()
        assert started[2:] == [(pair, HALVES)]
        shelf.server.stop()
        shelf.restart()
        assert started[3:] == [(pair, HALVES)]
        shelf.load((ONNX, ONNX))
        assert started[4:] == [((ONNX,), {})], "one process cannot be in both groups"
        with shelf.all_cores():
            assert len(started) == 5, "it has them already"
        shelf.load(pair)
        stop = threading.Event()
        with shelf.all_cores():
            stop.set()
            assert shelf.is_stopped_by_user(stop)
        assert started[5:] == [(pair, HALVES), (pair, {})], "nobody waits for what is about to end"


def test_every_published_variant_that_can_run_here_is_on_the_shelf(tmp_path: Path) -> None:
    write_toy_repository(tmp_path, published_ns=1)
    shelf = PublishedShelf(tmp_path, (), lambda names, at, cores: None, has_gpu=lambda: False)  # type: ignore
    assert set(shelf.cards()) == {"toy_torch_fp32_tensor", "toy_onnx_fp32"}
