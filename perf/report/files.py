"""The reports beside a record's JSON: Markdown, a page, and every figure in long form for a spreadsheet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from photofinish.errors import ConfigError, said_of_file
from photofinish.perf.judge.findings import Findings
from photofinish.perf.record.samples import NS_PER_MS
from photofinish.perf.report.html import html_report
from photofinish.perf.report.text import markdown_report
from photofinish.perf.report.words import ENGLISH

HEADER = (
    "section", "kind", "arm", "model", "backend", "precision", "contract", "transport", "generator", "concurrency",
    "batch_size", "requests", "errors", "frames_per_s", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "gpu_memory_bytes",
    "queue_mean_ms", "compute_mean_ms", "gain_p50", "gain_p50_low", "gain_p50_high", "verdict_p50",
)  # fmt: skip


def write_reports(findings: Findings, json_path: Path, *, lang: str = "en") -> tuple[Path, ...]:
    """The paths written: `.md`, `.csv` and `.html` beside the JSON; another language than English is in the name."""
    name = json_path.stem if lang == "en" else f"{json_path.stem}.{lang}"
    texts = {
        json_path.with_name(f"{name}.md"): markdown_report(findings, lang=lang),
        json_path.with_name(f"{name}.csv"): csv_report(findings),
        json_path.with_name(f"{name}.html"): html_report(findings, lang=lang),
    }
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise ConfigError(
                f"{path} cannot be written: {said_of_file(exc)}; choose another place with --out"
            ) from exc
    return tuple(texts)


def csv_report(findings: Findings) -> str:
    """One line per arm of every section; plain numbers with a point, empty where nothing was measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for found in findings.sections:
        section = found.section
        for item in found.summaries:
            arm, claim = item.arm, found.gain(item.arm, "p50")
            gain = item.gain("p50") if claim is not None and not claim.reasons else None
            writer.writerow(
                [
                    *map(_text, (section.name, section.kind, ENGLISH.arm(arm), arm.model, arm.backend, arm.precision)),
                    *map(_text, (arm.contract, arm.transport, arm.generator)),
                    *(arm.concurrency, arm.batch_size, item.requests, item.errors),
                    _plain(item.frames_per_s),
                    *(_plain(item.latency[key], NS_PER_MS) for key in ("mean", "p50", "p95", "p99")),
                    _plain(item.gpu_memory_bytes),
                    _plain(item.queue_us, 1000),
                    _plain(item.compute_us, 1000),
                    *((_plain(gain.estimate), _plain(gain.low), _plain(gain.high)) if gain else ("", "", "")),
                    claim.verdict if claim else "",
                ]
            )
    return out.getvalue()


def _text(value: str) -> str:
    """A name as text: a spreadsheet would take one that begins like this for a formula, and run it."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _plain(value: float | None, unit: float = 1) -> str:
    return "" if value is None else f"{value / unit:.6g}"
