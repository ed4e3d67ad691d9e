"""Two records against each other, if they may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from photofinish.errors import ConfigError
from photofinish.perf.judge.findings import Findings, SectionFindings
from photofinish.perf.judge.summary import PERCENTILES, ArmSummary, latency_statistic
from photofinish.perf.record.environment import ENGINE_PACKAGES
from photofinish.perf.record.record import Section
from photofinish.perf.statistics import Interval, ratio_interval, resampled_mean

MUST_MATCH = ("cpu", "cpu_cores", "driver", "cuda_driver", "distribution")
"""Keys of the environment that make two runs different machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A key that must agree, and what each record has."""

    key: str
    first: Any
    second: Any


def differences(first: Findings, second: Findings) -> tuple[Difference, ...]:
    """All that makes the two records incomparable: what differs, and sections of which either is not VALID.

    Only sections and arms that both have are looked at; to have none in common is a difference too. The size of an
    input and the device, which older records do not tell, count where both do.
    """
    common = {
        before.section.name: shared
        for before, after in _pairs(first, second)
        if (shared := _keys(before.section) & _keys(after.section))
    }
    facts = [_facts(item, common) for item in (first, second)]
    keys = [
        key
        for key in dict.fromkeys((*facts[0], *facts[1]))
        if not key.endswith((".input_wh", ".device")) or all(any(item.get(key, ())) for item in facts)
    ]
    return tuple(
        Difference(key=key, first=facts[0].get(key), second=facts[1].get(key))
        for key in keys
        if facts[0].get(key) != facts[1].get(key) or "INVALID" in (facts[0].get(key), facts[1].get(key))
    )


def require_comparable(first: Findings, second: Findings, *, allowed: tuple[str, ...] = ()) -> None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPair:
    """An arm that both records have. gains: the second against the first, in the figures that both can carry."""

    section: str
    before: ArmSummary
    after: ArmSummary
    gains: Mapping[str, Interval | None]


def compared_arms(first: Findings, second: Findings) -> tuple[ArmPair, ...]:
    """Every arm that both records have, in the first one's order."""
    pairs = []
    for before, after in _pairs(first, second):
        later = {item.arm.key: item for item in after.summaries}
        for old in (item for item in before.summaries if item.arm.key in later):
            new = later[old.arm.key]
            gains = {key: _gain(old, new, key) for key in ("p50", "p95", "frames_per_s")}
            pairs.append(ArmPair(section=before.section.name, before=old, after=new, gains=gains))
    return tuple(pairs)


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


def _pairs(first: Findings, second: Findings) -> list[tuple[SectionFindings, SectionFindings]]:
    later = {item.section.name: item for item in second.sections}
    return [(item, later[item.section.name]) for item in first.sections if item.section.name in later]


def _keys(section: Section) -> set[str]:
    return {arm.key for arm in section.arms}


def _facts(findings: Findings, common: Mapping[str, set[str]]) -> Mapping[str, Any]:
    """Every value that must agree, by the name a reader finds it under. common: the arms to look at, by section."""
    record, verdict = findings.record, findings.verdict
    environment = record.environment
    facts: dict[str, Any] = {f"environment.{key}": environment.get(key) for key in MUST_MATCH}
    facts["environment.client_memory"] = environment.get("client_memory", "plain")  # older records had no choice
    facts["environment.waiting"] = environment.get("waiting") or {}  # older records did not look
    facts["environment.gpus"] = [gpu.get("name") for gpu in environment.get("gpus") or []]
    facts |= {f"environment.server.{key}": value for key, value in (environment.get("server") or {}).items()}
    packages = environment.get("packages") or {}
    facts |= {f"environment.packages.{key}": packages[key] for key in ENGINE_PACKAGES if key in packages}
    facts["source.sha256"] = record.source.get("sha256")
    if not common:
        facts["sections"] = [section.name for section in record.sections]
        facts["arms"] = [arm.key for section in record.sections for arm in section.arms]
    for section in (item for item in record.sections if item.name in common):
        facts[f"{section.name}.verdict"] = "VALID" if verdict.is_valid(section.name) else "INVALID"
        facts[f"{section.name}.load.mode"] = section.load.mode
        facts[f"{section.name}.load.rate_rps"] = section.load.rate_rps
        facts[f"{section.name}.load.arrivals"] = section.load.arrivals
        for arm in (item for item in section.arms if item.key in common[section.name]):
            facts[f"{section.name}.{arm.key}.model"] = arm.model
            facts[f"{section.name}.{arm.key}.weights_sha256"] = arm.weights_sha256
            facts[f"{section.name}.{arm.key}.transport"] = arm.transport
            facts[f"{section.name}.{arm.key}.device"] = arm.device
            facts[f"{section.name}.{arm.key}.batch_size"] = arm.batch_size
            facts[f"{section.name}.{arm.key}.concurrency"] = arm.concurrency
            facts[f"{section.name}.{arm.key}.span"] = arm.span
            facts[f"{section.name}.{arm.key}.input_wh"] = arm.input_wh
            facts[f"{section.name}.{arm.key}.tf32"] = arm.tf32
    return facts
