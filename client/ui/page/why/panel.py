"""Why the right side is faster: what each step bought here, the way of a picture, and a minute of both sides."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from fastapi.responses import JSONResponse

from photofinish.client.ui.page.page import ASSETS
from photofinish.client.ui.page.panels import PagePanel, PanelContext
from photofinish.client.ui.page.screen.figures import significant, times
from photofinish.client.ui.page.split_view import SplitView
from photofinish.client.ui.page.why.known import MachineRecord
from photofinish.client.ui.processes.board import Board
from photofinish.client.ui.words import Language, PageWords
from photofinish.machine.addresses import is_loopback
from photofinish.machine.gpu import bytes_in_use, gpu_handles, opened_nvml, told

HISTORY_S = 60.0
BIN_S = 0.5
"""One point of a line: the median of the frames that finished in it."""


def build_why_panel(context: PanelContext) -> None:
    """The tab; assets/why.js fills it while it is looked at."""

    @context.app.get("/view/why")
    def why(language: Language = "en") -> JSONResponse:
        document = document_from_view(context.view, PageWords(language))
        return JSONResponse(document, headers={"Cache-Control": "no-store"})

    gr.HTML((ASSETS / "why.html").read_text(encoding="utf-8"), padding=False)


WHY_PANEL = PagePanel(
    key="why", title="page.why.tab", build=build_why_panel, script=ASSETS / "why.js", style=ASSETS / "why.css"
)


def document_from_view(view: SplitView, words: PageWords) -> dict[str, Any]:
    """What the tab shows: lines as [seconds ago, ms], the ladder's rows, and the GPU as it is now, None without one."""
    now_ns = time.perf_counter_ns()
    return {
        "latency": {side: latency_line(board, now_ns) for side, board in view.boards.items()},
        **ladder_texts(view.state().record, words),
        "gpu": gpu_now() if is_loopback(view.url) else None,
    }


def latency_line(board: Board, now_ns: int) -> list[tuple[float, float]]:
    """Seconds ago and median latency in ms for every BIN_S of the last minute that has frames, oldest first."""
    samples = board.samples_since(now_ns - int(HISTORY_S * 1e9))
    ages_s = (now_ns - samples["finished_ns"]) / 1e9
    bins = np.floor(ages_s / BIN_S).astype(np.int64)
    found = []
    for number in sorted(set(bins.tolist()), reverse=True):
        latencies = np.sort(samples["latency_ns"][bins == number])
        found.append((round((number + 0.5) * BIN_S, 2), round(float(latencies[(len(latencies) - 1) // 2]) / 1e6, 3)))
    return found


def ladder_texts(record: MachineRecord | None, words: PageWords) -> dict[str, Any]:
    """The rows of the ladder with a sentence each, or what measures it."""
    if record is None or not record.ladder:
        return {"ladder": [], "ladder_note": words("page.why.no_ladder") if record else ""}
    rows = [
        {
            "name": step.name[words.language],
            "ms": step.ms,
            "text": f"{significant(step.ms)} {words('page.ms')}",
            "times": times(step.times, words),
            "why": words(key) if words.has(key := f"page.why.step.{step.rung}") else "",
        }
        for step in record.ladder
    ]
    return {"ladder": rows, "ladder_note": words("page.why.measured", date=record.ladder_at)}


def gpu_now() -> dict[str, float] | None:
    """Utilisation in per cent, power in W and used memory in MiB of all GPUs together; None where there is none."""
    with opened_nvml() as nvml:
        handles = gpu_handles(nvml)
        if nvml is None or not handles:
            return None
        loads = [told(nvml, partial(_load, nvml, handle)) for handle in handles]
        powers = [told(nvml, partial(_power_w, nvml, handle)) for handle in handles]
        known = [load for load in loads if load is not None]
        return {
            "load": sum(known) / len(known) if known else 0.0,
            "power": sum(power for power in powers if power is not None),
            "memory": sum(bytes_in_use(nvml).values()) / 2**20,
        }


def _load(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)


def _power_w(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1000
