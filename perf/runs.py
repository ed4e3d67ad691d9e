"""Whole runs: measure, keep the evidence up to date while measuring, write the reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from client.session import Transport
from perf.bench import Bench, Progress
from perf.environment import utc_now
from perf.harness import measure_harness
from perf.perf_analyzer_program import PerfAnalyzer
from perf.record import Harness, Record, Section, write_record
from perf.report_markdown import markdown_table
from perf.report_terminal import sweep_table
from perf.sweep import run_sweep
from perf.sweep_checks import percentile_note
from perf.tables import sweep_rows


def new_record(bench: Bench, *, command: str, limits: dict[str, float] | None = None) -> Record:
    """A record without sections yet: fingerprints taken, harness measured."""
    overhead = measure_harness()
    return Record(
        command=command,
        created_utc=utc_now(),
        environment=bench.environment(),
        source=bench.source_fingerprint(),
        sections=(),
        harness=Harness(closed_loop_p95_ns=overhead.closed_loop_p95_ns, open_loop_p95_ns=overhead.open_loop_p95_ns),
        limits=dict(limits or {}),
    )


def sweep_run(
    bench: Bench,
    program: PerfAnalyzer | None,
    *,
    concurrencies: Sequence[int],
    seconds: float,
    transport: Transport | Literal["auto"],
    command: str,
    out: Path,
    lang: str,
    on_progress: Progress,
) -> str:
    """The sweep, written to `out` and beside it as Markdown; returns the text for the terminal."""
    record = new_record(bench, command=command)

    def keep(section: Section) -> None:
        write_record(record.with_section(section), out)

    section = run_sweep(
        bench,
        program,
        concurrencies=concurrencies,
        seconds=seconds,
        own_seconds=seconds / 2,
        transport=transport,
        on_progress=on_progress,
        on_section=keep,
    )
    markdown_path = out.with_suffix(".md")
    markdown_path.write_text(markdown_table(*sweep_rows(section, lang=lang)) + "\n", encoding="utf-8")
    note = percentile_note(section)
    return "\n".join(filter(None, (sweep_table(section, lang=lang), note, f"evidence: {out}, {markdown_path}")))
