"""The memory of a process that several models share: to each its own, and what is common once."""

from __future__ import annotations

import ctypes
from collections import Counter
from typing import Any

import pytest

from photofinish.server.backend.cuda import driver
from photofinish.server.backend.lane import account as accounts
from photofinish.server.backend.lane.account import Account, process_settings
from photofinish.server.backend.memory import COMMON_GPU_METRIC, COMMON_HOST_METRIC, GPU_METRIC, HOST_METRIC
from photofinish.server.backend.model import ApartError, ConfiguredModel
from tests.server.backend.test_batches import build_model

MIB = 1 << 20


class Process:
    """What a process holds. The GPU's driver tells nothing of it where gpu is 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, host: int, gpu: int) -> None:
        self.host, self.gpu = host, gpu
        monkeypatch.setattr(accounts, "resident_bytes", lambda: self.host)
        monkeypatch.setattr(accounts, "own_gpu_bytes", lambda: self.gpu)
        monkeypatch.setattr(accounts, "Cuda", lambda device_id, is_shared: self)

    def shrink_stacks(self) -> None:
        self.gpu -= 198 * MIB

    def load(self, account: Account, name: str, model: ConfiguredModel, host: int, gpu: int) -> dict[str, int]:
        account.prepare(name, model)
        self.host += host
        self.gpu += gpu
        return {figure.metric: figure.byte_size for figure in account.figures(model, gpu)}


def test_shares_and_what_is_common_are_what_the_process_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, host=300 * MIB, gpu=527 * MIB)
    account = Account()
    model = build_model(device="cuda", card={"cuda_graphs": True})
    first = process.load(account, "first_0", model, 50 * MIB, 120 * MIB)
    assert first == {
        HOST_METRIC: 50 * MIB,
        GPU_METRIC: 120 * MIB,
        COMMON_HOST_METRIC: 300 * MIB,
        COMMON_GPU_METRIC: 329 * MIB,
    }
    process.host += 7 * MIB  # it serves
    second = process.load(account, "second_0", model, 10 * MIB, 40 * MIB)
    assert second[GPU_METRIC] == 40 * MIB
    assert second[COMMON_GPU_METRIC] == 329 * MIB, "the context counts once"
    assert second[COMMON_HOST_METRIC] == 307 * MIB
    for own, common in ((HOST_METRIC, COMMON_HOST_METRIC), (GPU_METRIC, COMMON_GPU_METRIC)):
        held = process.host if own == HOST_METRIC else process.gpu
        assert first[own] + second[own] + second[common] == held
    account.leave("first_0")
    process.gpu -= 120 * MIB
    third = process.load(account, "first_0", model, 0, 120 * MIB)
    assert (third[GPU_METRIC], third[COMMON_GPU_METRIC]) == (120 * MIB, 329 * MIB)


def test_a_model_may_leave_while_another_ones_share_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a thread of its own; the one that was loaded was refused: "dictionary changed size during iteration"."""
    process = Process(monkeypatch, host=300 * MIB, gpu=0)
    account, model = Account(), build_model()

    class Leaving(Counter[str]):
        def __getitem__(self, metric: str) -> int:
            account.leave("leaving_0")
            return super().__getitem__(metric)

    for name in ("leaving_0", "staying_0"):
        process.load(account, name, model, 10 * MIB, 0)
        account._shares[name] = Leaving(account._shares[name])
    assert process.load(account, "loaded_0", model, 5 * MIB, 0)[HOST_METRIC] == 5 * MIB


def test_where_the_driver_does_not_tell_the_context_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, host=300 * MIB, gpu=0)
    account = Account()
    model = build_model(device="cuda")
    account.prepare("first_0", model)
    found = {figure.metric: figure.byte_size for figure in account.figures(model, 120 * MIB)}
    assert found == {HOST_METRIC: 0, GPU_METRIC: 120 * MIB, COMMON_HOST_METRIC: process.host}


def test_on_the_cpu_there_is_no_figure_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, host=300 * MIB, gpu=0)
    assert process.load(Account(), "first_0", build_model(), 50 * MIB, 0) == {
        HOST_METRIC: 50 * MIB,
        COMMON_HOST_METRIC: 300 * MIB,
    }


def test_who_wants_other_settings_is_sent_to_another_group(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, host=300 * MIB, gpu=0)
    account = Account()
    process.load(account, "first_0", build_model(card={"cuda_graphs": True}), 0, 0)
    process.load(account, "second_0", build_model(card={"cuda_graphs": True, "tf32": False}), 0, 0)
    for card, name in (({}, "-plain"), ({"cuda_graphs": True, "tf32": True}, "-cuda_graphs-tf32")):
        with pytest.raises(ApartError, match=f"^{name}$"):
            account.prepare("third_0", build_model(card=card))
    engines = {"sm90": {"library": "tensorrt"}, "sm120": {"library": "tensorrt"}}
    assert process_settings(build_model(card={"engines": engines})) == "-tensorrt"
    account.leave("first_0")
    account.leave("second_0")
    account.prepare("third_0", build_model(card={}))


class RecordingDriver:
    """CUDA's driver, where everything succeeds."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.answers: dict[str, int] = {}

    def __getitem__(self, name: str) -> Any:
        def call(*arguments: object) -> int:
            self.called.append(name)
            for argument in arguments[:1]:
                if hasattr(argument, "_obj"):
                    argument._obj.value = len(self.called)
            return self.answers.get(name, 0)

        return call

    __getattr__ = __getitem__


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_shared_context_is_left_without_what_was_allocated(monkeypatch: pytest.MonkeyPatch, is_shared: bool) -> None:
    recorded = RecordingDriver()
    monkeypatch.setattr(driver.ctypes, "CDLL", lambda name: recorded)
    cuda = driver.Cuda(0, is_shared=is_shared)
    assert ("cuThreadExchangeStreamCaptureMode" in recorded.called) is is_shared
    cuda.allocate(4096)
    recorded.called.clear()
    assert not cuda.is_broken()
    assert recorded.called == ["cuCtxSetCurrent", "cuStreamQuery"], "a thread whose model was refused has no context"
    recorded.answers["cuStreamQuery"] = 700
    assert cuda.is_broken()
    del cuda
    assert ("cuMemFree_v2" in recorded.called) is is_shared


def test_an_address_is_freed_whole() -> None:
    freed: list[int] = []

    class Driver(RecordingDriver):
        def __getitem__(self, name: str) -> Any:
            return lambda handle: freed.append(handle.value) if name == "cuMemFree_v2" else 0

    driver._let_go(Driver(), ctypes.c_void_p(1), [("cuMemFree_v2", 0x7F00_1234_5678)])  # type: ignore[arg-type]
    assert freed == [0x7F00_1234_5678]
