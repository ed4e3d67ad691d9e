"""perf_analyzer over every variant and concurrency, with our own closed loop beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from client.session import Session, Transport
from client.triton import ServedModel
from perf.bench import Bench, Progress, arm_from_model
from perf.comparison import reason_to_stop
from perf.load import run_closed_loop
from perf.perf_analyzer_program import PerfAnalyzer
from perf.perf_analyzer_run import run_perf_analyzer, write_input_data
from perf.record import Arm, Block, Load, Section
from perf.samples import Samples
from perf.senders import inputs_from_frames, request_sender
from photofinish.errors import PhotofinishError

DEFAULT_CONCURRENCIES = (1, 4, 8)
_DISTINCT_INPUTS = 4
_MIN_REQUESTS = 20
_WARM_UP_PER_SENDER = 3


def run_sweep(
    bench: Bench,
    program: PerfAnalyzer | None,
    *,
    concurrencies: Sequence[int] = DEFAULT_CONCURRENCIES,
    seconds: float = 8.0,
    own_seconds: float = 4.0,
    transport: Transport | Literal["auto"] = "auto",
    on_progress: Progress,
    on_section: Callable[[Section], None] = lambda section: None,
) -> Section:
    """The section of kind "sweep": one block per variant, concurrency and generator.

    Our own loop runs first, warm; its rate says how many requests perf_analyzer sends in `seconds`. on_section gets
    the section so far after every cell, so that an interrupted sweep leaves what it has.
    """
    load = Load(mode="closed", block_s=seconds)
    section = Section(kind="sweep", name="sweep", load=load, arms=(), blocks=(), complete=False)
    cells = [(model, concurrency) for model in bench.models for concurrency in concurrencies]
    try:
        with tempfile.TemporaryDirectory(prefix="photofinish-perf-") as folder:
            for position, (model, concurrency) in enumerate(cells):
                on_progress(f"sweep {position + 1}/{len(cells)}: {model.name} at concurrency {concurrency}")
                own, own_block = _run_own(bench, model, concurrency, own_seconds, transport)
                section = _with_block(section, own, own_block)
                if program is not None:
                    input_data = _input_file(bench, model, Path(folder))
                    arm, block = _run_perf_analyzer(bench, program, model, own, own_block.samples, seconds, input_data)
                    section = _with_block(section, arm, block)
                on_section(section)
    except (KeyboardInterrupt, PhotofinishError) as exc:
        on_section(replace(section, stopped_by=reason_to_stop(exc)))
        raise
    section = replace(section, complete=True)
    on_section(section)
    return section


def _with_block(section: Section, arm: Arm, block: Block) -> Section:
    """The section with one more arm; perf_analyzer's stand first."""
    arms = sorted((*section.arms, arm), key=lambda item: item.generator == "photofinish")
    return replace(section, arms=tuple(arms), blocks=(*section.blocks, block))


def _run_own(
    bench: Bench, model: ServedModel, concurrency: int, seconds: float, transport: Transport | Literal["auto"]
) -> tuple[Arm, Block]:
    inputs = inputs_from_frames(model, bench.frames[:_DISTINCT_INPUTS])
    with (
        Session(bench.url, model, transport=transport, slots=concurrency) as session,
        request_sender(session, inputs, concurrency) as sender,
    ):
        run_closed_loop(sender, concurrency=concurrency, requests=_WARM_UP_PER_SENDER * concurrency)
        samples, observed = bench.watcher.watch(
            model.name, lambda: run_closed_loop(sender, concurrency=concurrency, seconds=seconds)
        )
        arm = arm_from_model(
            model,
            key=f"{model.name}/{concurrency}/photofinish",
            label=f"{model.name}, {concurrency}",
            transport=session.transport,
            concurrency=concurrency,
            span="request",
        )
    return arm, Block(arm=arm.key, round=0, began_ns=0, samples=samples, observed=observed)


def _run_perf_analyzer(
    bench: Bench,
    program: PerfAnalyzer,
    model: ServedModel,
    own: Arm,
    own_samples: Samples,
    seconds: float,
    input_data: Path,
) -> tuple[Arm, Block]:
    concurrency = own.concurrency
    requests = max(_MIN_REQUESTS, concurrency * 2, int(own_samples.frames_per_s * seconds))
    result, observed = bench.watcher.watch(
        model.name,
        lambda: run_perf_analyzer(
            program,
            model=model.name,
            url=bench.url,
            input_data=input_data,
            concurrency=concurrency,
            requests=requests,
            warm_up=_WARM_UP_PER_SENDER * concurrency,
            shared_memory=own.transport == "system_shm",
            timeout_s=20 * seconds + 120,
        ),
    )
    arm = arm_from_model(
        model,
        key=f"{model.name}/{concurrency}/perf_analyzer",
        label=f"{model.name}, {concurrency}",
        transport=own.transport,
        concurrency=concurrency,
        span="request",
        generator="perf_analyzer",
    )
    block = Block(arm=arm.key, round=0, began_ns=0, samples=result.samples, observed=observed, reported=result.figures)
    return arm, block


def _input_file(bench: Bench, model: ServedModel, folder: Path) -> Path:
    path = folder / f"{model.name}.json"
    if not path.exists():
        inputs = inputs_from_frames(model, bench.frames[:_DISTINCT_INPUTS])
        write_input_data(path, model.inputs[0].name, inputs)
    return path
