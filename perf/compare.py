"""Two records against each other, if they may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perf.formatting import milliseconds, number
from perf.record import Record, Section
from perf.statistics import Interval, ratio_interval, resampled_mean
from perf.summary import PERCENTILES, ArmSummary, latency_statistic, summaries_from_section
from perf.tables import Table, interval_text
from perf.verdict import verdict_from_record
from perf.wording import word
from photofinish.errors import ConfigError

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

    Only sections that both have are looked at; to have none in common is a difference too.
    """
    names = [before.name for before, _ in _pairs(first, second)]
    facts = [_facts(record, names) for record in (first, second)]
    keys = dict.fromkeys((*facts[0], *facts[1]))
    return tuple(
        Difference(key=key, first=facts[0].get(key), second=facts[1].get(key))
        for key in keys
        if facts[0].get(key) != facts[1].get(key) or "INVALID" in (facts[0].get(key), facts[1].get(key))
    )


def require_comparable(first: Record, second: Record, *, allowed: tuple[str, ...] = ()) -> None:
    """Raise ConfigError naming every key that differs, with both values. allowed: keys that may differ."""
    found = [item for item in differences(first, second) if item.key not in allowed]
    if found:
        listed = "; ".join(f"{item.key} is {item.first!r} in A and {item.second!r} in B" for item in found)
        raise ConfigError(
            f"these records cannot be compared: {listed}. Measure both in one place, or accept a difference you "
            "understand with --allow KEY"
        )


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


def _facts(record: Record, names: Sequence[str]) -> Mapping[str, Any]:
    """Every value that must agree, by the name a reader finds it under."""
    environment = record.environment
    facts: dict[str, Any] = {f"environment.{key}": environment.get(key) for key in MUST_MATCH}
    facts["environment.gpus"] = [gpu.get("name") for gpu in environment.get("gpus") or []]
    facts |= {f"environment.server.{key}": value for key, value in (environment.get("server") or {}).items()}
    packages = environment.get("packages") or {}
    facts |= {f"environment.packages.{key}": packages[key] for key in PACKAGES_MUST_MATCH if key in packages}
    facts["source.sha256"] = record.source.get("sha256")
    verdict = verdict_from_record(record)
    if not names:
        facts["sections"] = [section.name for section in record.sections]
    for section in (item for item in record.sections if item.name in names):
        facts[f"{section.name}.verdict"] = "VALID" if verdict.is_valid(section.name) else "INVALID"
        facts[f"{section.name}.load.mode"] = section.load.mode
        facts[f"{section.name}.load.rate_rps"] = section.load.rate_rps
        for arm in section.arms:
            facts[f"{section.name}.{arm.key}.model"] = arm.model
            facts[f"{section.name}.{arm.key}.weights_sha256"] = arm.weights_sha256
            facts[f"{section.name}.{arm.key}.transport"] = arm.transport
    return facts
