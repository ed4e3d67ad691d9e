"""Several arms measured in interleaved blocks, so that they meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from photofinish.errors import PhotofinishError
from photofinish.perf.load.loops import Arrivals, Sender, arrival_offsets, run_closed_loop, run_open_loop
from photofinish.perf.load.settling import STRETCH_S, lead_in, warm_until_steady
from photofinish.perf.measure.budget import Until
from photofinish.perf.record.changes import NotRun, reason_to_stop
from photofinish.perf.record.record import TIME_UP, Arm, Block, Load, Section, SectionKind
from photofinish.perf.record.samples import Samples
from photofinish.perf.watch.watcher import ClientProcess, Watcher

Stages = dict[str, list[int]]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """An arm and how one block of it is run: seconds and the round's seed in, samples out.

    warm_up runs once, lead_in before each block; neither is counted. stages: lists that the sender appends a request's
    stages to, in nanoseconds; emptied before and after each block. process: the client's, where it is one of its own.
    """

    arm: Arm
    run_block: Callable[[float, int], Samples]
    warm_up: Callable[[], None] = lambda: None
    lead_in: Callable[[], None] = lambda: None
    stages: Stages = field(default_factory=dict)
    process: ClientProcess | None = None


def contender_from_sender(arm: Arm, sender: Sender, load: Load, *, stages: Stages | None = None) -> Contender:
    """A contender under closed-loop or open-loop load, as `load` says.

    Paced blocks have no lead-in: requests sent as fast as they go would heat what the camera's rate lets cool.
    A block goes on with the frame after the last one of the block before: a slow side, which comes to a few frames in a
    block, would else be given the first ones alone, and not the same as the fast side.
    """
    sent = 0

    def run_block(seconds: float, seed: int) -> Samples:
        nonlocal sent
        begun = sent
        samples = run_load(lambda index: sender(begun + index), seconds, seed)
        sent += samples.request_count
        return samples

    def run_load(send: Sender, seconds: float, seed: int) -> Samples:
        if load.mode == "closed":
            return run_closed_loop(
                send, concurrency=arm.concurrency, seconds=seconds, frames_per_request=arm.batch_size
            )
        arrivals: Arrivals = "poisson" if load.arrivals == "poisson" else "paced"
        offsets = arrival_offsets(arrivals, rate_rps=load.rate_rps, seconds=seconds, seed=seed)
        return run_open_loop(
            send,
            offsets,
            max_in_flight=arm.concurrency,
            frames_per_request=arm.batch_size,
            seconds=len(offsets) / load.rate_rps,  # a block seldom holds a whole number of periods
        )

    def warm_up() -> None:
        warm_until_steady(sender, concurrency=arm.concurrency, stretch_s=min(STRETCH_S, load.block_s))

    def before_block() -> None:
        if load.mode == "closed":
            lead_in(sender, concurrency=arm.concurrency)

    return Contender(
        arm=arm, run_block=run_block, warm_up=warm_up, lead_in=before_block, stages=stages if stages is not None else {}
    )


def run_comparison(
    contenders: Sequence[Contender],
    *,
    load: Load,
    name: str = "comparison",
    kind: SectionKind = "comparison",
    not_run: tuple[NotRun, ...] = (),
    until: Until | None = None,
    watcher: Watcher | None = None,
    on_progress: Progress = lambda line: None,
    on_section: Callable[[Section], None] = lambda section: None,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Section:
    """The section. Every arm is warmed until steady, uncounted, and takes one block in each of `load.rounds` rounds.

    until: what ends it before that; the section's load then has the rounds that there were. Where the time is up while
    arms are warmed it is given back without a block, and what comes after has its time.

    on_section gets the section so far after every block. Ctrl-C or a lost server leaves it with what was measured and
    what stopped it, and is raised again.
    """
    watcher = watcher or Watcher()
    by_key = {contender.arm.key: contender for contender in contenders}
    arms = tuple(contender.arm for contender in contenders)
    section = Section(kind=kind, name=name, load=load, arms=arms, blocks=(), not_run=not_run, complete=False)
    try:
        for contender in contenders:
            if until is not None and until.is_over():
                section = replace(section, stopped_by=TIME_UP)
                on_section(section)
                return section
            on_progress(f"{name}: warming up {contender.arm.name}")
            contender.warm_up()
            _empty(contender.stages)
        began_ns = clock()
        of_all = f" of {load.rounds}" if until is None else ""
        for number, keys in enumerate(block_order(tuple(by_key), rounds=load.rounds, seed=load.seed)):
            on_progress(f"{name}: round {number + 1}{of_all}: {', '.join(by_key[key].arm.name for key in keys)}")
            for key in keys:
                by_key[key].lead_in()
                _empty(by_key[key].stages)
                block = _run_block(by_key[key], load, number, clock() - began_ns, watcher)
                section = replace(section, blocks=(*section.blocks, block))
                on_section(section)
            round_s = (clock() - began_ns) / (number + 1) / 1e9
            if until is not None and (reason := until.reason(section, number + 1, round_s)):
                section = replace(section, load=replace(load, rounds=number + 1), ended_by=reason)
                break
    except (KeyboardInterrupt, PhotofinishError) as exc:
        on_section(replace(section, stopped_by=reason_to_stop(exc)))
        raise
    section = replace(section, complete=True)
    on_section(section)
    return section


def block_order(keys: Sequence[str], *, rounds: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """The arms of each round, in order: ABBA. Two rounds mirror each other, every pair starts with a fresh order.

    Slow drift of the machine then falls on all arms alike, and no arm always follows the same other one.
    """
    generator = np.random.default_rng(seed)
    order: list[tuple[str, ...]] = []
    while len(order) < rounds:
        forward = tuple(keys[index] for index in generator.permutation(len(keys)))
        order += [forward, forward[::-1]]
    return tuple(order[:rounds])


def _run_block(contender: Contender, load: Load, number: int, began_ns: int, watcher: Watcher) -> Block:
    arm = contender.arm
    samples, observed = watcher.watch(
        arm.model, lambda: contender.run_block(load.block_s, load.seed + number), client=contender.process
    )
    stages = {key: tuple(values) for key, values in contender.stages.items()}
    _empty(contender.stages)
    return Block(arm=arm.key, round=number, began_ns=began_ns, samples=samples, observed=observed, stages_ns=stages)


def _empty(stages: Stages) -> None:
    for values in stages.values():
        values.clear()
