"""What each `photofinish perf` command measures, from the opened bench to the printed report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photofinish.flows import tell
from photofinish.flows.bench import artifacts_in, draw_reports, find_program, open_run, repeat_command

if TYPE_CHECKING:
    from photofinish.client.triton.served import ServedModel
    from photofinish.perf.measure.runs import Plan, Run


def measure_standard(
    plan: Plan,
    *,
    baseline: str | None,
    optimised: str | None,
    perf_analyzer: bool,
    rivals: bool,
    weights: str | None,
    **options: Any,
) -> None:
    """Comparison flat out and paced, rivals, ladder and sweep. options: those of `open_run`, here and below.

    A quick run has no ladder: ten arms cannot all be known in its time, and it would take theirs from the headline.
    """
    from photofinish.perf.measure.rivals import compare_rivals
    from photofinish.perf.measure.runs import choose_pair, climb_ladder, compare_flat_out, compare_paced, sweep_variants

    program = find_program() if perf_analyzer else None
    also = tuple(filter(None, (baseline, optimised)))
    steps = () if options["quick"] else ("ladder",)
    parts = ("comparison", "rivals", *["paced"] * len(plan.rates), *steps, "sweep")
    with open_run(plan=plan, parts=parts, also=also, **options) as run:
        pair = choose_pair(run.bench, baseline, optimised, tell)
        with rivals_of(run, rivals, weights, pair[0]):
            compare_flat_out(run, *pair)
            compare_rivals(run, pair[1])
            compare_paced(run, *pair)
            if steps:
                climb_ladder(run, pair[1])
            else:
                tell("A quick run leaves the ladder out; `photofinish perf ladder` or a run with --minutes 5 climbs it")
            sweep_variants(run, program)


def measure_comparison(
    plan: Plan, *, baseline: str | None, optimised: str | None, rivals: bool, weights: str | None, **options: Any
) -> None:
    """Two variants in alternating blocks, flat out and at the plan's rates, and beside the rivals."""
    from photofinish.perf.measure.rivals import compare_rivals
    from photofinish.perf.measure.runs import choose_pair, compare_flat_out, compare_paced

    parts = ("comparison", "rivals", *["paced"] * len(plan.rates))
    with open_run(plan=plan, parts=parts, sides=(baseline, optimised), **options) as run:
        pair = choose_pair(run.bench, baseline, optimised, tell)
        with rivals_of(run, rivals, weights, pair[0]):
            compare_flat_out(run, *pair)
            compare_rivals(run, pair[1])
            compare_paced(run, *pair)


def measure_ladder(plan: Plan, *, rivals: bool, weights: str | None, **options: Any) -> None:
    """Every step from plain PyTorch on, where it runs here, else from the baseline."""
    from photofinish.perf.measure.runs import climb_ladder

    with open_run(plan=plan, parts=("ladder",), **options) as run, rivals_of(run, rivals, weights, run.bench.baseline):
        climb_ladder(run, required=True)


@contextmanager
def rivals_of(run: Run, wanted: bool, weights: str | None, baseline: ServedModel) -> Iterator[None]:
    """The rivals of this baseline of a run, if they are wanted, until the block ends."""
    if not wanted:
        yield
        return
    from photofinish.flows.rivals import rivals_for
    from photofinish.perf.measure.rivals import RivalArms

    keeps_memory = run.record.environment["client_memory"] == "kept"
    known = rivals_for(baseline.require_card(), weights, keeps_memory=keeps_memory)
    with RivalArms(known, run.bench, baseline, tell) as run.rivals:
        yield


def measure_sweep(plan: Plan, *, perf_analyzer: bool, **options: Any) -> None:
    """Every variant at every number of requests in flight."""
    from photofinish.perf.measure.runs import sweep_variants

    program = find_program() if perf_analyzer else None
    with open_run(plan=plan, parts=("sweep",), **options) as run:
        sweep_variants(run, program)


def measure_trace(plan: Plan, **options: Any) -> None:
    """Where the time of a request goes, for every variant."""
    from photofinish.perf.measure.runs import trace_stages

    with open_run(plan=plan, **options) as run:
        trace_stages(run)


def measure_artifacts(
    repository: Path,
    names: tuple[str, ...],
    *,
    model: str | None,
    batch_sizes: tuple[int, ...],
    seconds: float,
    quick: bool,
    out: Path,
    lang: str,
) -> None:
    """Each artifact in a bare loop of so many seconds for every batch size; the report is written and printed."""
    from photofinish.machine.gpu import load_nvml
    from photofinish.perf.engine.measuring import engine_record, measure_engines, require_measured
    from photofinish.perf.record.record import require_writable, write_record
    from photofinish.perf.report.text import terminal_report

    require_writable(out)
    nvml = load_nvml()
    record = engine_record(command=repeat_command(), nvml=nvml)
    section = measure_engines(
        artifacts_in(repository, names, model),
        batch_sizes=batch_sizes,
        seconds=seconds / 4 if quick else seconds,
        nvml=nvml,
        on_progress=tell,
        on_section=lambda section: write_record(record.with_section(section), out),
    )
    require_measured(section)
    click.echo(terminal_report(draw_reports(record.with_section(section), out, lang), lang=lang))
