"""The tab that says why: a minute of both sides, the ladder's rows, the GPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from photofinish.client.ui.page.why.known import LadderStep, MachineRecord, Recollection
from photofinish.client.ui.page.why.panel import gpu_now, ladder_texts, latency_line
from photofinish.client.ui.processes.board import Board, BoardMemory
from photofinish.client.ui.words import PageWords
from tests.client.fake_triton import wait_for

SECOND = 1_000_000_000


def test_a_line_has_the_median_of_every_half_second_of_the_last_minute() -> None:
    board = Board(BoardMemory())
    for at_s, latency_ms in ((10.0, 99), (99.3, 10), (99.4, 20), (99.45, 30), (99.9, 40)):
        board.record(finished_ns=int(at_s * SECOND), latency_ns=latency_ms * 1_000_000, found=0)
    assert latency_line(board, 100 * SECOND) == [(0.75, 20.0), (0.25, 40.0)]


def test_each_step_of_the_ladder_has_its_sentence() -> None:
    steps = tuple(
        LadderStep(rung=rung, name={"en": rung, "zh": f"中{rung}"}, ms=ms, times=100 / ms)
        for rung, ms in (("baseline", 100.0), ("transport", 40.0), ("of the future", 20.0))
    )
    record = MachineRecord(ladder=steps, ladder_at="2026-11-20")
    found = ladder_texts(record, PageWords("zh"))
    assert [(row["name"], row["text"], row["times"]) for row in found["ladder"]] == [
        ("中baseline", "100 毫秒", "1.0 倍"),
        ("中transport", "40.0 毫秒", "2.5 倍"),
        ("中of the future", "20.0 毫秒", "5.0 倍"),
    ]
    assert "共享的内存" in found["ladder"][1]["why"]
    assert found["ladder"][2]["why"] == ""
    assert "2026-11-20" in found["ladder_note"]
    assert "photofinish perf ladder" in ladder_texts(MachineRecord(), PageWords("en"))["ladder_note"]
    assert ladder_texts(None, PageWords("en"))["ladder_note"] == "", "it is still being looked for"


def test_the_gpu_is_told_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=512 << 20),
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=40 + 20 * handle),
        nvmlDeviceGetPowerUsage=lambda handle: 100_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert gpu_now() == {"load": 50.0, "power": 200.0, "memory": 1024.0}
    driver.nvmlDeviceGetCount = lambda: 0
    assert gpu_now() is None


def test_records_are_looked_for_once_and_again_after_a_measurement() -> None:
    asked = []

    def recall(model: str, weights_sha256: str) -> MachineRecord:
        asked.append(model)
        return MachineRecord(plain_ratio=2.0)

    recollection = Recollection(recall)
    assert recollection.of("toy", "a") is None
    wait_for(lambda: recollection.of("toy", "a") == MachineRecord(plain_ratio=2.0))
    assert asked == ["toy"]
    recollection.forget()
    assert recollection.of("toy", "a") is None
    wait_for(lambda: len(asked) == 2)
