"""Whole runs: measure, and keep the evidence up to date while measuring."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from photofinish.client.choosing.sides import fitting_names, sides_from_cards
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import GRPC, TransportChoice, transport_from_text
from photofinish.errors import ConfigError, PhotofinishError
from photofinish.names import chosen_by_name
from photofinish.percentiles import nearest_rank
from photofinish.perf.formatting import milliseconds
from photofinish.perf.load.loops import Arrivals, run_closed_loop
from photofinish.perf.load.senders import inputs_from_frames, request_sender
from photofinish.perf.load.settling import ClientMemory, measure_harness
from photofinish.perf.measure.bench import Bench, Progress
from photofinish.perf.measure.budget import Budget, Until
from photofinish.perf.measure.comparison import Contender, run_comparison
from photofinish.perf.measure.ladder import changes_between, ladder_setups
from photofinish.perf.measure.perf_analyzer_program import PerfAnalyzer
from photofinish.perf.measure.rivals import RivalArms, rival_changes, with_rival_changes
from photofinish.perf.measure.setups import Setup, open_contender
from photofinish.perf.measure.sweep import run_sweep
from photofinish.perf.record.changes import NotRun, not_run_from_error
from photofinish.perf.record.environment import utc_now
from photofinish.perf.record.record import Load, Record, Section, SectionKind, write_record

WRITE_EVERY_S = 2.0

_KINDS: Mapping[str, SectionKind] = {"ladder": "ladder", "trace": "trace"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long everything takes. block_s: one block of the comparison; rates: frames a second, one section each.

    Many short blocks instead of few long ones: a shared machine has slow spells of some seconds, and each arm must meet
    as much of them as the others.
    """

    rounds: int = 20
    block_s: float = 1.0
    rates: tuple[float, ...] = (30.0, 5.0)
    paced_rounds: int = 16
    paced_block_s: float = 1.0
    ladder_rounds: int = 16
    ladder_block_s: float = 0.3
    rival_rounds: int = 16
    rival_block_s: float = 0.5
    sweep_s: float = 4.0
    concurrencies: tuple[int, ...] = (1, 4, 8)
    batch_sizes: tuple[int, ...] = (1,)
    transport: TransportChoice = "auto"
    arrivals: Arrivals = "paced"
    seed: int = 0

    def scaled(self, factor: float) -> Plan:
        """The same plan with every time multiplied."""
        return replace(
            self,
            block_s=self.block_s * factor,
            paced_block_s=self.paced_block_s * factor,
            ladder_block_s=self.ladder_block_s * factor,
            rival_block_s=self.rival_block_s * factor,
            sweep_s=self.sweep_s * factor,
        )


@dataclass(slots=True)
class Run:
    """A record that grows while it is measured. Every step leaves the file readable.

    rivals: what a user would run instead; None where they are not asked for. budget: the time for all; None for what
    the plan says.
    """

    bench: Bench
    plan: Plan
    out: Path
    on_progress: Progress
    record: Record
    rivals: RivalArms | None = None
    budget: Budget | None = None
    clock: Callable[[], float] = time.monotonic
    written_s: float = -math.inf

    def timed(self, part: str, load: Load, arms: int) -> tuple[Load, Until | None]:
        """The load of a part with so many arms, as the time allows, and what ends it."""
        return (load, None) if self.budget is None else self.budget.timed(part, load, arms)

    def keep(self, section: Section) -> None:
        """Put the section into the record, and the record into its file: at once at an end, else every two seconds.

        Writing is work on the machine that is measured, and the more the longer the run.
        """
        self.record = self.record.with_section(section)
        if section.complete or section.stopped_by or self.clock() - self.written_s >= WRITE_EVERY_S:
            write_record(self.record, self.out)
            self.written_s = self.clock()


def new_record(bench: Bench, *, command: str, client_memory: ClientMemory,
               limits: dict[str, float] | None = None) -> Record:  # fmt: skip
    """A record without sections yet: fingerprints taken, harness measured."""
    return Record(
        command=command,
        created_utc=utc_now(),
        environment=bench.environment() | {"client_memory": client_memory},
        source=bench.source_fingerprint(),
        sections=(),
        harness=measure_harness(),
        limits=dict(limits or {}),
    )


def compare_flat_out(run: Run, baseline: ServedModel, optimised: ServedModel) -> None:
    """Baseline and optimised pipeline, one frame at a time each, as fast as they go."""
    plan = run.plan
    load = Load(mode="closed", block_s=plan.block_s, rounds=plan.rounds, seed=plan.seed)
    setups = pair_setups(baseline, optimised, plan.transport)
    run.keep(_measured(run, setups, load, name="comparison"))


def compare_paced(run: Run, baseline: ServedModel, optimised: ServedModel) -> None:
    """The same pair at the rates of cameras; a GPU clocks down between frames."""
    plan = run.plan
    for rate in plan.rates:
        load = Load(mode="open", block_s=plan.paced_block_s, rounds=plan.paced_rounds, rate_rps=rate,
                    arrivals=plan.arrivals, seed=plan.seed)  # fmt: skip
        setups = pair_setups(baseline, optimised, plan.transport)
        run.keep(_measured(run, setups, load, name=f"paced {rate:g}"))


def climb_ladder(run: Run, best: ServedModel | None = None, *, required: bool = False) -> None:
    """Every rung that the served models allow. With fewer than two it is left out, or a ConfigError where required.

    best: the fastest model here, on which the last rungs build; found by a short measurement where it is not given.
    """
    plan = run.plan
    load = Load(mode="closed", block_s=plan.ladder_block_s, rounds=plan.ladder_rounds, seed=plan.seed)
    if best is None and len(run.bench.models) > 1:
        _, best = choose_pair(run.bench, None, None, run.on_progress)
    setups, not_run = ladder_setups(fitting_models(run.bench, run.on_progress), best)
    if len(setups) < 2:
        served = ", ".join(model.name for model in run.bench.models)
        reason = f"a ladder needs a baseline and one more variant, served are {served}"
        if required:
            raise ConfigError(f"{reason}; run `photofinish export`")
        run.on_progress(f"{reason}; not run")
        return
    before: list[Contender] = []
    if run.rivals is not None:
        before = run.rivals.contenders(load, None, plan.transport)
        not_run = (*run.rivals.not_run.values(), *not_run)
    run.keep(_measured(run, setups, load, name="ladder", not_run=not_run, before=before))


def trace_stages(run: Run) -> None:
    """Where one request's time goes, for every variant: the baseline by the textbook pipeline, the others by ours."""
    plan = run.plan
    load = Load(mode="closed", block_s=plan.block_s, rounds=plan.rounds, seed=plan.seed)
    setups = [
        Setup(
            key=model.name,
            model=model,
            pipeline="baseline" if model.require_card().contract == "tensor" else "optimised",
            transport=GRPC if model.require_card().contract == "tensor" else plan.transport,
        )
        for model in run.bench.models
    ]
    run.keep(_measured(run, setups, load, name="trace"))


def sweep_variants(run: Run, program: PerfAnalyzer | None) -> None:
    """perf_analyzer and our own closed loop over every variant and concurrency, as far as the time allows."""
    run_sweep(
        run.bench,
        program,
        concurrencies=run.plan.concurrencies,
        batch_sizes=run.plan.batch_sizes,
        seconds=run.plan.sweep_s,
        own_seconds=run.plan.sweep_s / 2,
        sweep_time=run.budget.sweep_time(program is not None, run.plan.sweep_s) if run.budget else None,
        transport=run.plan.transport,
        on_progress=run.on_progress,
        on_section=run.keep,
    )


def pair_setups(baseline: ServedModel, optimised: ServedModel, transport: TransportChoice) -> tuple[Setup, Setup]:
    """The textbook pipeline on the baseline, ours on the other model."""
    return (
        Setup(key="baseline", model=baseline, pipeline="baseline", transport=GRPC),
        Setup(key="optimised", model=optimised, pipeline="optimised", transport=transport),
    )


def choose_pair(
    bench: Bench, baseline_name: str | None, optimised_name: str | None, on_progress: Progress
) -> tuple[ServedModel, ServedModel]:
    """The two models to compare, as `sides_from_cards` says; where several may be the other one, the fastest here."""
    models = {model.name: model for model in bench.models}
    sides = sides_from_cards(
        bench.cards,
        baseline_name,
        optimised_name,
        sizes_wh=bench.sizes_wh,
        where=bench.url,
        on_notice=on_progress,
    )
    baseline, others = models[sides.baseline], [models[name] for name in sides.others]
    if optimised_name:
        return baseline, others[0]
    medians = {model.name: _quick_median_ns(bench, model) for model in others}
    fastest = min(others, key=lambda model: medians[model.name])
    listed = ", ".join(f"{name} {milliseconds(median)} ms" for name, median in sorted(medians.items()))
    on_progress(f"optimised side: {fastest.name}, the fastest here ({listed})")
    return baseline, fastest


def fitting_models(bench: Bench, on_progress: Progress) -> tuple[ServedModel, ...]:
    """The served models whose input shows the frames as large as a square would."""
    fitting = fitting_names(bench.cards, bench.sizes_wh, on_progress)
    return tuple(model for model in bench.models if model.name in fitting)


def _measured(
    run: Run,
    setups: Sequence[Setup],
    load: Load,
    *,
    name: str,
    not_run: tuple[NotRun, ...] = (),
    before: Sequence[Contender] = (),
) -> Section:
    """before: contenders that stand ahead of the set-ups: where a ladder begins."""
    part = "paced" if load.rate_rps else name
    load, until = run.timed(part, load, len(setups) + len(before))
    with ExitStack() as stack:
        contenders = with_rival_changes(before)
        opened: list[Setup] = []
        for setup in setups:
            try:
                contender = stack.enter_context(open_contender(run.bench, setup, load))
            except PhotofinishError as exc:
                if name != "ladder":
                    raise
                not_run = (*not_run, _left_out(setup, not_run_from_error(exc)))
                continue
            transport = transport_from_text(contender.arm.transport)
            if setup.rung == "http" and transport.call != "http":
                not_run = (*not_run, _left_out(setup, NotRun(key="http")))
                continue
            # Against the rung that really ran before this one, over the transports that were really taken.
            opened.append(replace(setup, transport=transport))
            changes = changes_between(*opened[-2:]) if setup.rung and len(opened) > 1 else ()
            if len(opened) == 1 and before:
                changes = rival_changes(before[-1].arm.key)
            contenders.append(replace(contender, arm=replace(contender.arm, changes=changes)))
        return run_comparison(
            contenders,
            load=load,
            name=name,
            kind=_KINDS.get(name, "comparison"),
            not_run=not_run,
            until=until,
            watcher=run.bench.watcher,
            on_progress=run.on_progress,
            on_section=run.keep,
        )


def _left_out(setup: Setup, reason: NotRun) -> NotRun:
    return replace(reason, rung=setup.rung, batch_size=setup.batch_size, concurrency=setup.in_flight)


def model_named(bench: Bench, name: str) -> ServedModel:
    """The one served model of that full name or suffix."""
    chosen = chosen_by_name((model.name for model in bench.models), name, where=bench.url)
    return next(model for model in bench.models if model.name == chosen)


def _quick_median_ns(bench: Bench, model: ServedModel) -> float:
    """The median of a short closed loop, warm: enough to choose, not to report."""
    with (
        Session(bench.url, model, http_url=bench.http_url, slots=1) as session,
        request_sender(session, inputs_from_frames(model, bench.frames[:2]), 1) as sender,
    ):
        run_closed_loop(sender, requests=5)
        return nearest_rank(run_closed_loop(sender, seconds=1.5, requests=40).latency_ns, 0.5)
