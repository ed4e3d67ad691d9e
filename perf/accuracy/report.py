"""The gate's report as JSON: what `.photofinish/gate/<model>.json` and `results/accuracy_*.json` hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from photofinish.perf.accuracy.gate import Candidate, GateReport
from photofinish.perf.record.environment import environment_fingerprint, utc_now

SCHEMA_VERSION = 1


def document_from_report(report: GateReport, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Every verdict with its figures, how each variant was calibrated, the weights, and where it was measured."""
    card = candidates[0].card
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "accuracy",
        "written_at": utc_now(),
        "weights": card.weights,
        "weights_sha256": card.weights_sha256,
        "device": card.device,
        "baseline": report.baseline,
        "dataset": report.dataset,
        "dataset_kind": report.kind,
        "known_from_earlier_runs": report.cached,
        "verdicts": [asdict(verdict) for verdict in report.verdicts],
        "calibration": {item.name: item.card.calibration for item in candidates if item.card.calibration},
        "environment": environment_fingerprint(None, server={"kind": "embedded"}),
    }
