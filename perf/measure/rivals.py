"""What a user would run instead, beside ours: plain PyTorch without a server, and Ultralytics' own Triton client.

Every arm runs in a process of its own, ours too: Ultralytics switches OpenCV's threads off for its whole process, and a
CUDA context takes turns with the server's. They get the same frames and take turns in the same rounds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.transport import TransportChoice
from photofinish.machine.scratch import scratch_folder
from photofinish.percentiles import nearest_rank
from photofinish.perf.load.settling import LEAD_IN_REQUESTS, MAX_STRETCHES, STEADY, STRETCH_S
from photofinish.perf.measure.bench import Bench, Progress, arm_from_model
from photofinish.perf.measure.comparison import Contender, run_comparison
from photofinish.perf.record.changes import Change, NotRun, NotRunError, text_of_error
from photofinish.perf.record.record import Arm, Load
from photofinish.perf.rivals.agreement import agreement_of
from photofinish.perf.rivals.process import RivalProcess

if TYPE_CHECKING:
    from photofinish.perf.measure.runs import Run

PLAIN, ULTRALYTICS = "plain", "ultralytics"
RIVAL_MODULE, OWN_MODULE = "photofinish.export.rival_child", "photofinish.perf.rivals.own_child"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """What is known of them before the run. weights: what plain PyTorch loads; why_not: the reason of each left out."""

    weights: str = ""
    why_not: Mapping[str, NotRun] = field(default_factory=dict)
    keeps_memory: bool = True


class RivalArms:
    """The processes of one run, started where they are first asked for, ended with the block."""

    def __init__(self, rivals: Rivals, bench: Bench, baseline: ServedModel, on_progress: Progress) -> None:
        self._rivals = rivals
        self._bench = bench
        self._baseline = baseline
        self._on_progress = on_progress
        self._stack = ExitStack()
        self._frames = ""
        self._running: dict[str, RivalProcess] = {}
        self.not_run: dict[str, NotRun] = dict(rivals.why_not)

    def __enter__(self) -> RivalArms:
        """The arms themselves; nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes."""
        self._stack.close()

    def contenders(self, load: Load, optimised: ServedModel | None, transport: TransportChoice) -> list[Contender]:
        """Those that run here, ready: the rivals, and with an optimised model both our pipelines after them.

        Why a rival does not run stands in `not_run`. Their boxes are compared with the last one's.
        """
        if {PLAIN, ULTRALYTICS} <= set(self.not_run):
            return []
        jobs = self._jobs(optimised, transport)
        for key, (arm, module, job) in jobs.items():
            if key not in self._running and key not in self.not_run:
                self._on_progress(f"rivals: starting {arm.name}")
                started = RivalProcess(module, job, environment=self._environment())
                self._running[key] = self._stack.enter_context(started)
        found = []
        for key, (arm, _, _) in jobs.items():
            if key in self._running and (process := self._ready(key)):
                arm = replace(arm, transport=str(process.about.get("transport", arm.transport)))
                found.append(contender_from_process(arm, process, load))
        return self._with_agreement(found) if optimised else found

    def _ready(self, key: str) -> RivalProcess | None:
        process = self._running[key]
        if not process.about:
            try:
                process.wait_until_ready()
            except NotRunError as exc:
                if key not in (PLAIN, ULTRALYTICS):
                    raise
                self.not_run[key] = replace(exc.not_run, rung=key)
                del self._running[key]
                process.close()
                self._on_progress(f"rivals: {key} is left out: {exc}")
                return None
        return process

    def _with_agreement(self, contenders: list[Contender]) -> list[Contender]:
        found = {item.arm.key: self._running[item.arm.key].boxes() for item in contenders}
        ours = contenders[-1].arm.key
        return [
            replace(item, arm=replace(item.arm, agreement=agreement_of(found[item.arm.key], found[ours], against=ours)))
            for item in contenders
        ]

    def _jobs(
        self, optimised: ServedModel | None, transport: TransportChoice
    ) -> dict[str, tuple[Arm, str, dict[str, Any]]]:
        """Arm, module and job of each process."""
        bench, card = self._bench, self._baseline.require_card()
        device = "cuda:0" if card.device == "cuda" else "cpu"
        shared = {"frames": self._frames_file(), "keeps_memory": self._rivals.keeps_memory}
        theirs = {**shared, "device": device, "imgsz": max(card.input_wh)}
        served = arm_from_model(self._baseline, key=ULTRALYTICS, rung=ULTRALYTICS, transport="grpc")
        alone = replace(served, key=PLAIN, rung=PLAIN, model="", role="", contract="", transport="",
                        bytes_per_request=0, accuracy={})  # fmt: skip
        url = f"grpc://{bench.url.removeprefix('grpc://')}/{self._baseline.name}"
        jobs = {
            PLAIN: (alone, RIVAL_MODULE, {**theirs, "weights": self._rivals.weights}),
            ULTRALYTICS: (
                replace(served, role=""),
                RIVAL_MODULE,
                {**theirs, "weights": url},
            ),
        }
        if optimised:
            ours = {**shared, "url": bench.url, "http_url": bench.http_url}
            arm = arm_from_model(self._baseline, key="baseline", rung="baseline", transport="grpc")
            job = {**ours, "pipeline": "baseline", "model": self._baseline.name, "transport": "grpc"}
            jobs["baseline"] = (arm, OWN_MODULE, job)
            job = {**ours, "pipeline": "optimised", "model": optimised.name, "transport": str(transport)}
            jobs["optimised"] = (arm_from_model(optimised, key="optimised"), OWN_MODULE, job)
        return jobs

    def _environment(self) -> dict[str, str]:
        """TF32 as the baseline has it: only this variable, read at CUDA's first use, turns it off everywhere."""
        return {} if self._baseline.require_card().tf32 else {"NVIDIA_TF32_OVERRIDE": "0"}

    def _frames_file(self) -> str:
        if not self._frames:
            folder = self._stack.enter_context(scratch_folder())
            self._frames = os.fspath(folder / "frames.npy")
            np.save(self._frames, np.stack([frame.image_hwc_bgr for frame in self._bench.frames]))
        return self._frames


def contender_from_process(arm: Arm, process: RivalProcess, load: Load) -> Contender:
    """A contender whose blocks another process runs, one frame after the other, after the same lead-in as ours."""

    def warm_up() -> None:
        before_ns = 0.0
        for _ in range(MAX_STRETCHES):
            median_ns = nearest_rank(process.block(min(STRETCH_S, load.block_s)).latency_ns, 0.5)
            if abs(median_ns - before_ns) < STEADY * median_ns:
                return
            before_ns = median_ns

    def lead_in() -> None:
        process.block(0.0, lead_in=LEAD_IN_REQUESTS - 1)  # a block of no length is one frame

    return Contender(
        arm=arm,
        run_block=lambda seconds, seed: process.block(seconds),
        warm_up=warm_up,
        lead_in=lead_in,
        process=process,
    )


def rival_changes(before: str) -> tuple[Change, ...]:
    """What a ladder's rung changes against the rung `before` it, a rival's: the server, or only who asks it."""
    if before == PLAIN:
        return (
            Change(noun="server", was="none", now="triton"),
            Change(noun="engine", was="eager", now="torchscript"),
        )
    return (Change(noun="client", was="ultralytics", now="baseline"),)


def with_rival_changes(contenders: Sequence[Contender]) -> list[Contender]:
    """The rivals as the first rungs of a ladder, each with what it changes against the one before."""
    changed = [()] + [rival_changes(item.arm.key) for item in contenders[:-1]] if contenders else []
    return [replace(item, arm=replace(item.arm, changes=now)) for item, now in zip(contenders, changed, strict=True)]


def compare_rivals(run: Run, optimised: ServedModel) -> None:
    """Plain PyTorch, Ultralytics' Triton client and both our pipelines, each in a process of its own, in turn.

    Where neither of the first two runs here nothing is measured, and the reason is told.
    """
    if run.rivals is None:
        return
    plan = run.plan
    load = Load(mode="closed", block_s=plan.rival_block_s, rounds=plan.rival_rounds, seed=plan.seed)
    load, until = run.timed("rivals", load, 4)
    contenders = run.rivals.contenders(load, optimised, plan.transport)
    not_run = tuple(run.rivals.not_run.values())
    for item in not_run:
        run.on_progress(f"rivals: {item.rung} is left out: {text_of_error(item)}")
    if not any(item.arm.key in (PLAIN, ULTRALYTICS) for item in contenders):
        return
    try:
        run_comparison(
            contenders,
            load=load,
            name="rivals",
            kind="rivals",
            not_run=not_run,
            until=until,
            watcher=run.bench.watcher,
            on_progress=run.on_progress,
            on_section=run.keep,
        )
    except NotRunError as exc:  # one of the processes died: the section says so, what comes after needs none of them
        run.on_progress(f"rivals: {exc}")
