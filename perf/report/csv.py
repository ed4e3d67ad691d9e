"""Every figure of a record in long form, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.record.record import Record
from photofinish.perf.record.samples import NS_PER_MS

HEADER = (
    "section", "kind", "arm", "model", "backend", "precision", "contract", "transport", "generator", "concurrency",
    "batch_size", "requests", "errors", "frames_per_s", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "gpu_memory_bytes",
    "queue_mean_ms", "compute_mean_ms", "gain_p50", "gain_p50_low", "gain_p50_high",
)  # fmt: skip


def csv_report(record: Record) -> str:
    """One line per arm of every section; plain numbers with a point, empty where nothing was measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for section in record.sections:
        for item in summaries_from_section(section):
            arm, gain = item.arm, None if item.is_first else item.gain("p50")
            writer.writerow(
                [
                    *map(_text, (section.name, section.kind, arm.label, arm.model, arm.backend, arm.precision)),
                    *map(_text, (arm.contract, arm.transport, arm.generator)),
                    *(arm.concurrency, arm.batch_size, item.requests, item.errors),
                    _plain(item.frames_per_s),
                    *(_plain(item.latency[key], NS_PER_MS) for key in ("mean", "p50", "p95", "p99")),
                    _plain(item.gpu_memory_bytes),
                    _plain(item.queue_us, 1000),
                    _plain(item.compute_us, 1000),
                    *((_plain(gain.estimate), _plain(gain.low), _plain(gain.high)) if gain else ("", "", "")),
                ]
            )
    return out.getvalue()


def _text(value: str) -> str:
    """A name as text: a spreadsheet would take one that begins like this for a formula, and run it."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _plain(value: float | None, unit: float = 1) -> str:
    return "" if value is None else f"{value / unit:.6g}"
