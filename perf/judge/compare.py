"""Two records against each other, if they may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from photofinish.errors import ConfigError
from photofinish.perf.formatting import milliseconds, number
from photofinish.perf.judge.summary import PERCENTILES, ArmSummary, latency_statistic, summaries_from_section
from photofinish.perf.judge.verdict import verdict_from_record
from photofinish.perf.record.record import Record, Section
from photofinish.perf.report.tables import Table, interval_text
from photofinish.perf.report.words import word
from photofinish.perf.statistics import Interval, ratio_interval, resampled_mean

MUST_MATCH = ("cpu", "cpu_cores", "driver", "cuda_driver", "distribution")
"""Keys of the environment that make two runs different machines."""
PACKAGES_MUST_MATCH = (
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "tensorrt-cu13",
    "tensorrt-cu13-bindings",
    "tensorrt-rtx-cu13-bindings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A key that must agree, and what each record has."""

    key: str
    first: Any
    second: Any


def differences(first: Record, second: Record) -> tuple[Difference, ...]:
    """All that makes the two records incomparable: what differs, and sections of which either is not VALID.

    Only sections and arms that both have are looked at; to have none in common is a difference too.
    """
    common = {
        before.name: shared for before, after in _pairs(first, second) if (shared := _keys(before) & _keys(after))
    }
    facts = [_facts(record, common) for record in (first, second)]
    keys = dict.fromkeys((*facts[0], *facts[1]))
    return tuple(
        Difference(key=key, first=facts[0].get(key), second=facts[1].get(key))
        for key in keys
        if facts[0].get(key) != facts[1].get(key) or "INVALID" in (facts[0].get(key), facts[1].get(key))
    )


def require_comparable(first: Record, second: Record, *, allowed: tuple[str, ...] = ()) -> None:
    """Raise ConfigError naming every key that differs, with both values.

    allowed: keys that may differ; `*.transport` is every key that ends so. Keys that differ alike are named so too.
    """
    found = [item for item in differences(first, second) if not any(fnmatchcase(item.key, key) for key in allowed)]
    if found:
        raise ConfigError(
            "\n  ".join(["these records cannot be compared:", *_listed(found)])
            + "\nMeasure both in one place, or accept a difference you understand with --allow KEY"
        )


def _listed(found: Sequence[Difference]) -> list[str]:
    """One line per difference; keys with the same ending and the same two values share one."""
    alike: dict[str, list[Difference]] = {}
    for item in found:
        ending = item.key.rpartition(".")[2]
        alike.setdefault(f"{ending} {item.first!r} {item.second!r}", []).append(item)
    lines = []
    for items in alike.values():
        item, values = items[0], [_shortened(value) for value in (items[0].first, items[0].second)]
        key = item.key if len(items) == 1 else f"*.{item.key.rpartition('.')[2]}"
        among = "" if len(items) == 1 else f" ({len(items)} keys, the first {item.key})"
        lines.append(f"{key} is {values[0]} in A and {values[1]} in B{among}")
    return lines


def _shortened(value: object) -> str:
    text = repr(value)
    if len(text) <= 60:
        return text
    return repr(f"{value[:12]}…") if isinstance(value, str) else f"{text[:59]}…"


def record_comparison_rows(first: Record, second: Record, *, lang: str = "en") -> Table:
    """One row per arm that both records have: each one's figures, and the second against the first."""
    header = [
        word("arm", lang),
        "A P50 (ms)",
        "B P50 (ms)",
        word("gain_p50", lang),
        "A P95 (ms)",
        "B P95 (ms)",
        word("gain_p95", lang),
        "A FPS",
        "B FPS",
        word("gain_fps", lang),
    ]
    rows = []
    for before, after in _pairs(first, second):
        old, new = ({item.arm.key: item for item in summaries_from_section(section)} for section in (before, after))
        for key in [key for key in old if key in new]:
            rows.append(_row(before.name, old[key], new[key], lang))
    return header, rows


def _row(section_name: str, old: ArmSummary, new: ArmSummary, lang: str) -> list[str]:
    cells = [f"{section_name}: {old.arm.label}"]
    for key in ("p50", "p95"):
        cells += [milliseconds(old.latency[key]), milliseconds(new.latency[key]), _cell(_gain(old, new, key), lang)]
    cells += [number(old.frames_per_s), number(new.frames_per_s), _cell(_gain(old, new, "frames_per_s"), lang)]
    return cells


def _gain(old: ArmSummary, new: ArmSummary, key: str) -> Interval | None:
    """The later run against the earlier one. Their rounds were not taken together, so they are drawn apart."""
    blocks = [[block for block in item.blocks if block.samples.completed_count] for item in (old, new)]
    if min(len(side) for side in blocks) < 2:
        return None
    if key == "frames_per_s":
        spent = [[np.array([1 / block.samples.frames_per_s]) for block in side] for side in blocks]
        return ratio_interval(spent[0], spent[1], resampled_mean, paired=False)
    if key in PERCENTILES and (old.latency[key] is None or new.latency[key] is None):
        return None
    latencies = [[block.samples.latency_ns for block in side] for side in blocks]
    return ratio_interval(latencies[0], latencies[1], latency_statistic(key), paired=False)


def _cell(interval: Interval | None, lang: str) -> str:
    if interval is not None and interval.holds(1.0):
        return f"{word('no_difference', lang)} [{number(interval.low)}, {number(interval.high)}]"
    return interval_text(interval)


def _pairs(first: Record, second: Record) -> list[tuple[Section, Section]]:
    later = {section.name: section for section in second.sections}
    return [(section, later[section.name]) for section in first.sections if section.name in later]


def _keys(section: Section) -> set[str]:
    return {arm.key for arm in section.arms}


def _facts(record: Record, common: Mapping[str, set[str]]) -> Mapping[str, Any]:
    """Every value that must agree, by the name a reader finds it under. common: the arms to look at, by section."""
    environment = record.environment
    facts: dict[str, Any] = {f"environment.{key}": environment.get(key) for key in MUST_MATCH}
    facts["environment.client_memory"] = environment.get("client_memory", "plain")  # older records had no choice
    facts["environment.gpus"] = [gpu.get("name") for gpu in environment.get("gpus") or []]
    facts |= {f"environment.server.{key}": value for key, value in (environment.get("server") or {}).items()}
    packages = environment.get("packages") or {}
    facts |= {f"environment.packages.{key}": packages[key] for key in PACKAGES_MUST_MATCH if key in packages}
    facts["source.sha256"] = record.source.get("sha256")
    verdict = verdict_from_record(record)
    if not common:
        facts["sections"] = [section.name for section in record.sections]
        facts["arms"] = [arm.key for section in record.sections for arm in section.arms]
    for section in (item for item in record.sections if item.name in common):
        facts[f"{section.name}.verdict"] = "VALID" if verdict.is_valid(section.name) else "INVALID"
        facts[f"{section.name}.load.mode"] = section.load.mode
        facts[f"{section.name}.load.rate_rps"] = section.load.rate_rps
        for arm in (item for item in section.arms if item.key in common[section.name]):
            facts[f"{section.name}.{arm.key}.model"] = arm.model
            facts[f"{section.name}.{arm.key}.weights_sha256"] = arm.weights_sha256
            facts[f"{section.name}.{arm.key}.transport"] = arm.transport
    return facts
