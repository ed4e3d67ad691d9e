"""`photofinish perf`: measure, compare, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.commands.perf_cameras import cameras
from photofinish.commands.perf_options import (
    RESULTS,
    SECONDS,
    bench_options,
    limit_options,
    model_option,
    out_options,
    positive_numbers,
    rival_options,
    whole_numbers,
)


@click.group()
def perf() -> None:
    """Measure the variants, compare them, and write reports."""


perf.add_command(cameras)


@perf.command(short_help="Comparison, rivals, ladder and sweep: the standard set.")
@bench_options
@out_options("standard.json")
@limit_options
@rival_options
@click.option("--baseline", help="The side to beat. Default: the variant whose role is baseline.")
@click.option("--optimised", help="The other side. Default: the fastest variant here.")
@click.option("--rates", default="30,5", show_default=True, help="Frames a second of the paced comparisons.")
@click.option("--concurrency", default="1,4,8", show_default=True, help="Requests in flight in the sweep.")
@click.option("--batch", default="1", show_default=True, help="Pictures in a request of the sweep, e.g. 1,32.")
@click.option("--no-perf-analyzer", is_flag=True, help="Our own load generator only.")
def standard(rates: str, concurrency: str, batch: str, transport: Any, no_perf_analyzer: bool, **options: Any) -> None:
    """The standard set: comparison, rivals, camera rates, ladder, perf_analyzer sweep. Nine minutes at most."""
    from photofinish.flows.measure import measure_standard
    from photofinish.perf.measure.runs import Plan

    plan = Plan(
        transport=transport,
        rates=positive_numbers(rates),
        concurrencies=whole_numbers(concurrency),
        batch_sizes=whole_numbers(batch),
    )
    measure_standard(plan, perf_analyzer=not no_perf_analyzer, **options)


@perf.command(short_help="Two variants in alternating blocks, with intervals.")
@bench_options
@out_options("comparison.json")
@limit_options
@rival_options
@click.option("--baseline", help="The side to beat. Default: the variant whose role is baseline.")
@click.option("--optimised", help="The other side. Default: the fastest variant here.")
@click.option("--rates", default="", help="Also at these frame rates, e.g. 30,5.")
@click.option("--arrivals", type=click.Choice(["paced", "poisson"]), default="paced", show_default=True)
@click.option("--rounds", type=click.IntRange(2), default=20, show_default=True, help="Blocks a side.")
@click.option("--seconds", type=SECONDS, default=1.0, show_default=True, help="One block's length.")
def comparison(rates: str, arrivals: Any, rounds: int, seconds: float, transport: Any, **options: Any) -> None:
    """Two variants in alternating blocks, with a confidence interval on every gain."""
    from photofinish.flows.measure import measure_comparison
    from photofinish.perf.measure.runs import Plan

    plan = Plan(
        transport=transport,
        rates=positive_numbers(rates),
        arrivals=arrivals,
        rounds=rounds,
        paced_rounds=rounds,
        block_s=seconds,
        paced_block_s=seconds,
        rival_rounds=rounds,
        rival_block_s=seconds,
    )
    measure_comparison(plan, **options)


@perf.command(short_help="Every step from the baseline on, one after the other.")
@bench_options
@out_options("ladder.json")
@rival_options
@click.option("--rounds", type=click.IntRange(2), default=16, show_default=True, help="Blocks a rung.")
@click.option("--seconds", type=SECONDS, default=0.6, show_default=True, help="One block's length.")
def ladder(rounds: int, seconds: float, transport: Any, **options: Any) -> None:
    """Every step from the baseline to everything switched on, one change per rung."""
    from photofinish.flows.measure import measure_ladder
    from photofinish.perf.measure.runs import Plan

    measure_ladder(Plan(transport=transport, ladder_rounds=rounds, ladder_block_s=seconds), **options)


@perf.command(short_help="Every variant under growing load, by perf_analyzer too.")
@bench_options
@out_options("sweep.json")
@click.option("--concurrency", default="1,4,8", show_default=True, help="Requests in flight, one row each.")
@click.option("--batch", default="1", show_default=True, help="Pictures in a request, e.g. 1,32.")
@click.option("--seconds", type=SECONDS, default=8.0, show_default=True, help="perf_analyzer's time per row, about.")
@click.option("--no-perf-analyzer", is_flag=True, help="Our own load generator only.")
def sweep(concurrency: str, batch: str, seconds: float, no_perf_analyzer: bool, transport: Any, **options: Any) -> None:
    """perf_analyzer over every variant, with our own closed loop beside it."""
    from photofinish.flows.measure import measure_sweep
    from photofinish.perf.measure.runs import Plan

    levels, batches = whole_numbers(concurrency), whole_numbers(batch)
    plan = Plan(transport=transport, concurrencies=levels, batch_sizes=batches, sweep_s=seconds)
    measure_sweep(plan, perf_analyzer=not no_perf_analyzer, **options)


@perf.command(short_help="Where one request's time goes, in microseconds.")
@bench_options
@out_options("trace.json", minutes=False)
@click.option("--seconds", type=SECONDS, default=1.0, show_default=True, help="One block's length; ten blocks each.")
def trace(seconds: float, transport: Any, **options: Any) -> None:
    """Where one request's time goes, in microseconds, for every variant."""
    from photofinish.flows.measure import measure_trace
    from photofinish.perf.measure.runs import Plan

    measure_trace(Plan(transport=transport, rounds=10, block_s=seconds), **options)


@perf.command(short_help="Each artifact in a bare loop, without a server.")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--variant", "names", multiple=True, help="Only this variant (name or suffix); may be repeated.")
@model_option
@click.option("--batch", default="1", show_default=True, help="Batch sizes, e.g. 1,8,32.")
@click.option("--seconds", type=SECONDS, default=4.0, show_default=True, help="Per artifact and batch size.")
@out_options("engine.json", minutes=False)
def engine(batch: str, **options: Any) -> None:
    """Each artifact in a bare loop in one process: the floor that serving is compared with."""
    from photofinish.flows.measure import measure_artifacts

    measure_artifacts(batch_sizes=whole_numbers(batch), **options)


@perf.command(short_help="Draw every table and picture again from a record.")
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help=f"Write Markdown, CSV and HTML beside this name. Default: beside the record; of a packed one in {RESULTS}.",
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--pdf", is_flag=True, help="Print the page to PDF, too, where a Chromium is on PATH.")
def report(record: Path, out: Path | None, lang: str, pdf: bool) -> None:
    """Draw every table and picture again from a record; print the tables."""
    from photofinish.flows.poster import redrawn_report

    click.echo(redrawn_report(record, out=out, results=RESULTS, lang=lang, pdf=pdf))


@perf.command(short_help="One page for a stage, from a record.")
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help=f"A .pdf or .html. Default: RECORD.poster.pdf in {RESULTS}."
)
@click.option("--paper", type=click.Choice(["a3", "a4"]), default="a3", show_default=True)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def poster(record: Path, out: Path | None, paper: Any, lang: str) -> None:
    """One page for a stage, as PDF where a Chromium is on PATH, else as a page to print."""
    from photofinish.flows.poster import make_poster

    name = record.name.partition(".")[0] + (".poster.pdf" if lang == "en" else f".poster.{lang}.pdf")
    click.echo(make_poster(record, out=out or RESULTS / name, lang=lang, paper=paper))


@perf.command(short_help="The second record against the first.")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--allow", multiple=True, metavar="KEY", help="Accept that this key differs, e.g. *.transport; may be repeated."
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True)
def compare(first: Path, second: Path, allow: tuple[str, ...], lang: str) -> None:
    """The second record against the first; refused where they were not measured alike."""
    from photofinish.perf.judge.compare import compared_arms, require_comparable
    from photofinish.perf.judge.findings import findings_from_record
    from photofinish.perf.record.record import read_record
    from photofinish.perf.report.command_tables import compare_rows
    from photofinish.perf.report.text import text_table
    from photofinish.perf.report.words import Words

    before, after = (findings_from_record(read_record(path)) for path in (first, second))
    require_comparable(before, after, allowed=allow)
    click.echo(text_table(*compare_rows(compared_arms(before, after), Words(lang))))
