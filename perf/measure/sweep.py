"""perf_analyzer over every variant and concurrency, with our own closed loop beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from photofinish.client.triton.regions import TransportError
from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import GRPC, SYSTEM_SHM, Transport, TransportChoice, transport_from_text
from photofinish.errors import InferenceError, PhotofinishError
from photofinish.machine.scratch import scratch_folder
from photofinish.perf.load.loops import run_closed_loop
from photofinish.perf.load.senders import inputs_from_frames, request_sender
from photofinish.perf.load.settling import LEAD_IN_REQUESTS
from photofinish.perf.measure.bench import Bench, Progress, arm_from_model
from photofinish.perf.measure.budget import SweepTime
from photofinish.perf.measure.perf_analyzer_program import PerfAnalyzer, PerfAnalyzerError
from photofinish.perf.measure.perf_analyzer_run import run_perf_analyzer, write_input_data
from photofinish.perf.record.changes import NotRun, reason_to_stop
from photofinish.perf.record.record import Arm, Block, Generator, Load, Section
from photofinish.perf.record.samples import NS_PER_S, Samples

DEFAULT_CONCURRENCIES = (1, 4, 8)
TIMEOUT_S = 60.0
"""A batch of 32 on two cores takes seconds."""
_DISTINCT_INPUTS = 4
MIN_REQUESTS = 20
"""What either load generator sends at least, however long it takes: a median of three requests is none."""
_MAX_OWN_S = 30.0
_PERF_ANALYZER_TRIES = 2


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the sweep, for one load generator."""

    model: ServedModel
    batch_size: int
    concurrency: int

    @property
    def text(self) -> str:
        """What a line of progress calls the cell."""
        batch = f", batch {self.batch_size}" if self.batch_size > 1 else ""
        return f"{self.model.name} at concurrency {self.concurrency}{batch}"

    def arm(self, generator: Generator, transport: str) -> Arm:
        """The arm of this cell."""
        return arm_from_model(
            self.model,
            key=f"{self.model.name}/{self.batch_size}/{self.concurrency}/{generator}",
            transport=transport,
            concurrency=self.concurrency,
            batch_size=self.batch_size,
            span="request",
            generator=generator,
        )

    def not_run(self, generator: Generator, reason: NotRun) -> NotRun:
        """The cell as one that this generator did not run."""
        return replace(
            reason,
            model=self.model.name,
            batch_size=self.batch_size,
            concurrency=self.concurrency,
            generator=generator,
        )


def run_sweep(
    bench: Bench,
    program: PerfAnalyzer | None,
    *,
    concurrencies: Sequence[int] = DEFAULT_CONCURRENCIES,
    batch_sizes: Sequence[int] = (1,),
    seconds: float = 8.0,
    own_seconds: float = 4.0,
    own_requests: int = MIN_REQUESTS,
    transport: TransportChoice = "auto",
    sweep_time: SweepTime | None = None,
    on_progress: Progress,
    on_section: Callable[[Section], None] = lambda section: None,
) -> Section:
    """The section of kind "sweep": one block per variant, batch size, concurrency and generator.

    A batch size that a model does not take is left out, and said so in the section. Our own loop takes longer than
    `own_seconds` where it needs to for `own_requests`, 30 s at most.
    Our own loop runs first, warm; its rate says how many requests perf_analyzer sends in `seconds`. on_section gets
    the section so far after every cell, so that an interrupted sweep leaves what it has.
    sweep_time: says how long a row takes in place of all these numbers, and which numbers in flight are left out.
    """
    load = Load(mode="closed", block_s=seconds)
    wanted = [Cell(model, batch, concurrency) for model in bench.models for batch in batch_sizes
              for concurrency in concurrencies]  # fmt: skip
    cells = [cell for cell in wanted if cell.batch_size <= max(cell.model.max_batch_size, 1)]
    too_large = dict.fromkeys((cell.model.name, cell.batch_size) for cell in wanted if cell not in cells)
    not_run = tuple(NotRun(key="small", model=name, batch_size=size) for name, size in too_large)
    section = Section(kind="sweep", name="sweep", load=load, arms=(), blocks=(), not_run=not_run, complete=False)
    rows = _Rows(cells, sweep_time)
    try:
        with scratch_folder() as folder:
            for position, cell in enumerate(rows.in_time()):
                on_progress(f"sweep {position + 1}/{len(cells)}: {cell.text}")

                def own_s(rate_rps: float, cell: Cell = cell) -> float:
                    """How long our own loop runs at that rate."""
                    if sweep_time is not None:
                        return rows.row_s(cell, rate_rps)
                    return max(own_seconds, min(_MAX_OWN_S, own_requests / rate_rps))

                own, own_block = _run_own(bench, cell, own_s, transport)
                rate_rps = own_block.samples.frames_per_s / cell.batch_size
                section = _with_block(section, own, own_block)
                if program is not None:
                    input_data = _input_file(bench, cell.model, folder)
                    their_s = seconds if sweep_time is None else rows.row_s(cell, rate_rps)
                    section = _with_perf_analyzer(
                        section, bench, program, cell, own, own_block.samples, their_s, input_data, on_progress
                    )
                rows.done(cell, rate_rps)
                on_section(section)
        section = _in_order(replace(section, not_run=(*section.not_run, *rows.left_out)), cells)
    except (KeyboardInterrupt, PhotofinishError) as exc:
        on_section(replace(section, stopped_by=reason_to_stop(exc)))
        raise
    section = replace(section, complete=True)
    on_section(section)
    return section


class _Rows:
    """The rows in the order they are run: with little time the fewest in flight first, then the most, then the rest."""

    def __init__(self, cells: Sequence[Cell], sweep_time: SweepTime | None) -> None:
        self._cells = list(cells)
        self._time = sweep_time
        self._rates: dict[tuple[str, int], float] = {}
        self._to_come = list(cells)
        self.left_out: list[NotRun] = []

    def in_time(self) -> Iterator[Cell]:
        """The rows that there is time for; the numbers in flight that are left out stand in `left_out` afterwards."""
        if self._time is None:
            yield from self._cells
            return
        levels = sorted({cell.concurrency for cell in self._cells})
        for level in [*levels[:1], *levels[:0:-1][:1], *levels[1:-1]]:
            cells = [cell for cell in self._cells if cell.concurrency == level]
            rates = [self._rates[(cell.model.name, cell.batch_size)] for cell in cells if self._rates]
            if self._rates and not self._time.has_room_for(rates):
                self._to_come = [cell for cell in self._to_come if cell.concurrency != level]
                self.left_out.append(NotRun(key="time", concurrency=level))
                continue
            yield from cells

    def row_s(self, cell: Cell, rate_rps: float) -> float:
        """How long one generator runs this row."""
        if self._time is None:
            raise ValueError("rows take what the caller says where there is no budget")
        level = sum(other.concurrency == cell.concurrency for other in self._to_come)
        return self._time.row_s(rate_rps, rows_of_level=level, rows=len(self._to_come))

    def done(self, cell: Cell, rate_rps: float) -> None:
        """A row is done, at that rate."""
        self._to_come.remove(cell)
        self._rates.setdefault((cell.model.name, cell.batch_size), rate_rps)


def _in_order(section: Section, cells: Sequence[Cell]) -> Section:
    """The arms as the rows were asked for, whichever was run first; perf_analyzer's stand first."""
    places = {(cell.model.name, cell.batch_size, cell.concurrency): place for place, cell in enumerate(cells)}

    def place(arm: Arm) -> tuple[bool, int]:
        return arm.generator == "photofinish", places[(arm.model, arm.batch_size, arm.concurrency)]

    return replace(section, arms=tuple(sorted(section.arms, key=place)))


def _with_block(section: Section, arm: Arm, block: Block) -> Section:
    """The section with one more arm; perf_analyzer's stand first."""
    arms = sorted((*section.arms, arm), key=lambda item: item.generator == "photofinish")
    return replace(section, arms=tuple(arms), blocks=(*section.blocks, block))


def _with_perf_analyzer(
    section: Section,
    bench: Bench,
    program: PerfAnalyzer,
    cell: Cell,
    own: Arm,
    own_samples: Samples,
    seconds: float,
    input_data: Path,
    on_progress: Progress,
) -> Section:
    """The section with perf_analyzer's arm, or with the reason why it has none while the server still answers.

    Tried twice: perf_analyzer was seen to end with exit code 0 and an empty profile, and not when asked again.
    """
    for attempt in range(_PERF_ANALYZER_TRIES):
        try:
            return _with_block(
                section, *_run_perf_analyzer(bench, program, cell, own, own_samples, seconds, input_data)
            )
        except PerfAnalyzerError as exc:
            reason = exc.not_run
            on_progress(f"perf_analyzer, try {attempt + 1} of {_PERF_ANALYZER_TRIES}: {exc}")
    return replace(section, not_run=(*section.not_run, cell.not_run("perf_analyzer", reason)))


def _run_own(
    bench: Bench, cell: Cell, length_s: Callable[[float], float], transport: TransportChoice
) -> tuple[Arm, Block]:
    """length_s: how long, by the rate of requests a second while it was warmed."""
    model, concurrency = cell.model, cell.concurrency
    inputs = inputs_from_frames(model, bench.frames[:_DISTINCT_INPUTS])
    with (
        _open_session(bench, cell, transport) as session,
        request_sender(session, inputs, concurrency) as sender,
    ):
        warm = run_closed_loop(sender, concurrency=concurrency, requests=LEAD_IN_REQUESTS * concurrency)
        seconds = length_s(max(warm.completed_count, 1) * NS_PER_S / max(warm.window_ns, 1))
        samples, observed = bench.watcher.watch(
            model.name,
            lambda: run_closed_loop(
                sender, concurrency=concurrency, seconds=seconds, frames_per_request=cell.batch_size
            ),
        )
        arm = cell.arm("photofinish", str(session.transport))
    return arm, Block(arm=arm.key, round=0, began_ns=0, samples=samples, observed=observed)


def _open_session(bench: Bench, cell: Cell, transport: TransportChoice) -> Session:
    """Over gRPC, as perf_analyzer sends: shared memory where the server takes it; another transport if asked for."""
    choices: tuple[Transport, ...] = (SYSTEM_SHM, GRPC) if transport == "auto" else (transport,)
    for choice in choices:
        try:
            return Session(
                bench.url,
                cell.model,
                http_url=bench.http_url,
                transport=choice,
                slots=cell.concurrency,
                batch_size=cell.batch_size,
                timeout_s=TIMEOUT_S,
                on_notice=bench.on_notice,
            )
        except (TransportError, InferenceError):
            if choice == choices[-1]:
                raise
    raise AssertionError("unreachable")


def _run_perf_analyzer(
    bench: Bench, program: PerfAnalyzer, cell: Cell, own: Arm, own_samples: Samples, seconds: float, input_data: Path
) -> tuple[Arm, Block]:
    rate_rps = own_samples.frames_per_s / cell.batch_size
    result, observed = bench.watcher.watch(
        cell.model.name,
        lambda: run_perf_analyzer(
            program,
            model=cell.model.name,
            url=bench.url,
            input_data=input_data,
            concurrency=cell.concurrency,
            requests=max(MIN_REQUESTS, cell.concurrency * 2, int(rate_rps * seconds)),
            warm_up=LEAD_IN_REQUESTS * cell.concurrency,
            shared_memory=transport_from_text(own.transport).memory == "system",
            batch_size=cell.batch_size,
            timeout_s=20 * seconds + 120,
        ),
    )
    arm = cell.arm("perf_analyzer", own.transport)
    block = Block(arm=arm.key, round=0, began_ns=0, samples=result.samples, observed=observed, reported=result.figures)
    return arm, block


def _input_file(bench: Bench, model: ServedModel, folder: Path) -> Path:
    path = folder / f"{model.name}.json"
    if not path.exists():
        inputs = inputs_from_frames(model, bench.frames[:_DISTINCT_INPUTS])
        write_input_data(path, model.inputs[0].name, inputs)
    return path
