"""`photofinish perf`: measure, compare, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.commands.perf_options import (
    SECONDS,
    bench_options,
    limit_options,
    out_options,
    positive_numbers,
    whole_numbers,
)
from photofinish.flows.bench import artifacts_in, find_program, finish, open_run, progress, repeat_command


@click.group()
def perf() -> None:
    """Measure the variants, compare them, and write reports."""


@perf.command()
@bench_options
@out_options("results/standard.json")
@limit_options
@click.option("--baseline", help="The side to beat. Default: the variant whose role is baseline.")
@click.option("--optimised", help="The other side. Default: the fastest variant here.")
@click.option("--rates", default="30,5", show_default=True, help="Frames a second of the paced comparisons.")
@click.option("--concurrency", default="1,4,8", show_default=True, help="Requests in flight in the sweep.")
@click.option("--batch", default="1", show_default=True, help="Pictures in a request of the sweep, e.g. 1,32.")
@click.option("--no-perf-analyzer", is_flag=True, help="Our own load generator only.")
def standard(baseline: str | None, optimised: str | None, rates: str, concurrency: str, batch: str,
             no_perf_analyzer: bool, transport: Any, limits: dict[str, float], **options: Any) -> None:  # fmt: skip
    """The standard set: comparison flat out and paced, ladder, perf_analyzer sweep. About five minutes."""
    from photofinish.perf.measure.runs import (
        Plan,
        choose_pair,
        climb_ladder,
        compare_flat_out,
        compare_paced,
        sweep_variants,
    )

    program = None if no_perf_analyzer else find_program()
    plan = Plan(transport=transport, rates=positive_numbers(rates), concurrencies=whole_numbers(concurrency),
                batch_sizes=whole_numbers(batch))  # fmt: skip
    with open_run(plan=plan, limits=limits, **options) as run:
        pair = choose_pair(run.bench, baseline, optimised, progress)
        run.measure(
            [
                lambda run: compare_flat_out(run, *pair),
                lambda run: compare_paced(run, *pair),
                lambda run: climb_ladder(run, pair[1]),
                lambda run: sweep_variants(run, program),
            ]
        )
        finish(run)


@perf.command()
@bench_options
@out_options("results/comparison.json")
@limit_options
@click.option("--baseline", help="The side to beat. Default: the variant whose role is baseline.")
@click.option("--optimised", help="The other side. Default: the fastest variant here.")
@click.option("--rates", default="", help="Also at these frame rates, e.g. 30,5.")
@click.option("--arrivals", type=click.Choice(["paced", "poisson"]), default="paced", show_default=True)
@click.option("--rounds", type=click.IntRange(2), default=20, show_default=True, help="Blocks a side.")
@click.option("--seconds", type=SECONDS, default=1.0, show_default=True, help="One block's length.")
def comparison(baseline: str | None, optimised: str | None, rates: str, arrivals: Any, rounds: int, seconds: float,
               transport: Any, limits: dict[str, float], **options: Any) -> None:  # fmt: skip
    """Two variants in alternating blocks, with a confidence interval on every gain."""
    from photofinish.perf.measure.runs import Plan, choose_pair, compare_flat_out, compare_paced

    plan = Plan(transport=transport, rates=positive_numbers(rates), arrivals=arrivals, rounds=rounds,
                paced_rounds=rounds, block_s=seconds, paced_block_s=seconds)  # fmt: skip
    with open_run(plan=plan, limits=limits, **options) as run:
        pair = choose_pair(run.bench, baseline, optimised, progress)
        run.measure([lambda run: compare_flat_out(run, *pair), lambda run: compare_paced(run, *pair)])
        finish(run)


@perf.command()
@bench_options
@out_options("results/ladder.json")
@click.option("--rounds", type=click.IntRange(2), default=16, show_default=True, help="Blocks a rung.")
@click.option("--seconds", type=SECONDS, default=0.6, show_default=True, help="One block's length.")
def ladder(rounds: int, seconds: float, transport: Any, **options: Any) -> None:
    """Every step from the baseline to everything switched on, one change per rung."""
    from photofinish.perf.measure.runs import Plan, climb_ladder

    plan = Plan(transport=transport, ladder_rounds=rounds, ladder_block_s=seconds)
    with open_run(plan=plan, **options) as run:
        run.measure([lambda run: climb_ladder(run, required=True)])
        finish(run)


@perf.command()
@bench_options
@out_options("results/sweep.json")
@click.option("--concurrency", default="1,4,8", show_default=True, help="Requests in flight, one row each.")
@click.option("--batch", default="1", show_default=True, help="Pictures in a request, e.g. 1,32.")
@click.option("--seconds", type=SECONDS, default=8.0, show_default=True, help="perf_analyzer's time per row, about.")
@click.option("--no-perf-analyzer", is_flag=True, help="Our own load generator only.")
def sweep(concurrency: str, batch: str, seconds: float, no_perf_analyzer: bool, transport: Any, **options: Any) -> None:
    """perf_analyzer over every variant, with our own closed loop beside it."""
    from photofinish.perf.measure.runs import Plan, sweep_variants

    program = None if no_perf_analyzer else find_program()
    levels, batches = whole_numbers(concurrency), whole_numbers(batch)
    plan = Plan(transport=transport, concurrencies=levels, batch_sizes=batches, sweep_s=seconds)
    with open_run(plan=plan, **options) as run:
        run.measure([lambda run: sweep_variants(run, program)])
        finish(run)


@perf.command()
@bench_options
@out_options("results/trace.json")
@click.option("--seconds", type=SECONDS, default=1.0, show_default=True, help="One block's length; ten blocks each.")
def trace(seconds: float, transport: Any, **options: Any) -> None:
    """Where one request's time goes, in microseconds, for every variant."""
    from photofinish.perf.measure.runs import Plan, trace_stages

    with open_run(plan=Plan(transport=transport, rounds=10, block_s=seconds), **options) as run:
        run.measure([trace_stages])
        finish(run)


@perf.command()
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--variant", "names", multiple=True, help="Only this variant (name or suffix); may be repeated.")
@click.option("--batch", default="1", show_default=True, help="Batch sizes, e.g. 1,8,32.")
@click.option("--seconds", type=SECONDS, default=4.0, show_default=True, help="Per artifact and batch size.")
@out_options("results/engine.json")
def engine(repository: Path, names: tuple[str, ...], batch: str, seconds: float, quick: bool, out: Path,
           lang: str) -> None:  # fmt: skip
    """Each artifact in a bare loop in one process: the floor that serving is compared with."""
    from photofinish.machine.gpu import load_nvml
    from photofinish.perf.engine.measuring import engine_record, measure_engines, require_measured
    from photofinish.perf.record.record import require_writable, write_record
    from photofinish.perf.report.files import write_reports
    from photofinish.perf.report.terminal import terminal_report

    require_writable(out)
    nvml = load_nvml()
    record = engine_record(command=repeat_command(), nvml=nvml)
    section = measure_engines(
        artifacts_in(repository, names),
        batch_sizes=whole_numbers(batch),
        seconds=seconds / 4 if quick else seconds,
        nvml=nvml,
        on_progress=progress,
        on_section=lambda section: write_record(record.with_section(section), out),
    )
    require_measured(section)
    write_reports(record.with_section(section), out, lang=lang)
    click.echo(terminal_report(record.with_section(section), lang=lang))


@perf.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write Markdown, CSV and HTML beside this name.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def report(record: Path, out: Path | None, lang: str) -> None:
    """Draw every table and picture again from a record; print the tables."""
    from photofinish.perf.record.record import read_record
    from photofinish.perf.report.files import write_reports
    from photofinish.perf.report.terminal import terminal_report

    measured = read_record(record)
    for path in write_reports(measured, out or record, lang=lang):
        progress(f"wrote {path}")
    click.echo(terminal_report(measured, lang=lang))


@perf.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--allow", multiple=True, metavar="KEY", help="Accept that this key differs, e.g. *.transport; may be repeated."
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def compare(first: Path, second: Path, allow: tuple[str, ...], lang: str) -> None:
    """The second record against the first; refused where they were not measured alike."""
    from photofinish.perf.judge.compare import record_comparison_rows, require_comparable
    from photofinish.perf.record.record import read_record
    from photofinish.perf.report.terminal import text_table

    before, after = read_record(first), read_record(second)
    require_comparable(before, after, allowed=allow)
    click.echo(text_table(*record_comparison_rows(before, after, lang=lang)))
