"""The gate: which variants keep enough of the baseline's accuracy to be served."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from perf.accuracy import AccuracyResult, OnFrame, detections_from_server, ignore_frame, results_from_detections
from perf.accuracy_data import Dataset
from perf.accuracy_diagnosis import advice, diagnose
from photofinish.model_card import ModelCard

SCHEMA_VERSION = 1

Serve = Callable[[tuple[str, ...]], AbstractContextManager[str]]
"""`serve(model names)` gives the address of a server that has them, for the length of the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A staged variant before the gate. floor: the share of the baseline it must keep. directory: `<dir>/1/model.*`."""

    name: str
    floor: float
    card: ModelCard
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One variant after the gate. reason: why it was refused, or why nothing could be decided; else ""."""

    name: str
    floor: float
    passed: bool
    reason: str
    result: AccuracyResult

    def to_card(self) -> dict[str, Any]:
        """What the served variant tells about its accuracy; without the figures of single classes."""
        values = asdict(self.result)
        del values["class_map50_95"]
        return {**values, "floor": self.floor, "passed": self.passed, "note": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """All verdicts, the baseline's first. cached: how many were known from an earlier run."""

    baseline: str
    dataset: str
    kind: str
    verdicts: tuple[Verdict, ...]
    cached: int

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The variants that must not be served."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    def to_document(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "accuracy",
            "baseline": self.baseline,
            "dataset": self.dataset,
            "dataset_kind": self.kind,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }


def gate_variants(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    serve: Serve,
    *,
    baseline: str,
    cache: Path,
    on_frame: OnFrame = ignore_frame,
) -> GateReport:
    """The verdict on every candidate; the server is started only for those that no earlier run has measured.

    cache: a folder of earlier figures, by the hashes of artifact, baseline and data set.
    """
    by_name = {item.name: item for item in candidates}
    keys = {item.name: _cache_key(item, by_name[baseline], dataset) for item in candidates}
    verdicts = {name: verdict for name, key in keys.items() if (verdict := _cached(cache, key, by_name[name]))}
    missing = [item.name for item in candidates if item.name not in verdicts]
    if missing:
        names = (baseline, *(name for name in missing if name != baseline))
        with serve(names) as url:
            found = {
                name: detections_from_server(
                    url, name, dataset.frames(), total=dataset.size, is_baseline=name == baseline, on_frame=on_frame
                )
                for name in names
            }
            results = results_from_detections(found, dataset, by_name[baseline].card, baseline=baseline)
            for name in missing:
                cause = ""
                if _decide(results[name], by_name[name].floor) is False:
                    cause = diagnose(
                        name,
                        found[name],
                        found[baseline],
                        dataset=dataset,
                        detect=lambda model, frames: detections_from_server(
                            url, model, frames, total=dataset.size, is_baseline=False
                        ),
                    )
                verdicts[name] = verdict_from_result(results[name], by_name[name], cause)
                _store(cache, keys[name], results[name], cause)
    ordered = sorted(candidates, key=lambda item: item.name != baseline)
    return GateReport(
        baseline=baseline,
        dataset=dataset.name,
        kind=dataset.kind,
        verdicts=tuple(verdicts[item.name] for item in ordered),
        cached=len(candidates) - len(missing),
    )


def verdict_from_result(result: AccuracyResult, candidate: Candidate, cause: str) -> Verdict:
    """The decision, with a reason in one line when it is not a plain pass."""
    decision = _decide(result, candidate.floor)
    if decision is None:
        reason = (
            "nothing to decide on: neither it nor the baseline shows a box on these frames; pass --data or --frames"
        )
    elif decision:
        reason = ""
    else:
        reason = _refusal(result, candidate, cause)
    return Verdict(
        name=candidate.name, floor=candidate.floor, passed=decision is not False, reason=reason, result=result
    )


def _decide(result: AccuracyResult, floor: float) -> bool | None:
    """Whether the floor is kept; None when there is nothing to decide on."""
    return None if result.share is None else result.share >= floor


def _refusal(result: AccuracyResult, candidate: Candidate, cause: str) -> str:
    if result.map_share is not None:
        kept = f"keeps {result.map_share:.1%} of the baseline's mAP50-95 ({result.map50_95:.3f})"
        lost = f"class {result.worst_class} lost most ({result.worst_class_loss:.3f} mAP50-95)"
    else:
        kept = f"{result.matched_share or 0:.1%} of its boxes match the baseline's"
        lost = f"class {result.worst_class} lost most ({result.worst_class_loss:.0f} boxes)"
    parts = [f"{kept}, its floor is {candidate.floor:.1%}"]
    if result.worst_class:
        parts.append(lost)
    if cause:
        parts.append(cause)
    parts.append(advice(candidate.card, result))
    return "; ".join(parts)


def _cache_key(item: Candidate, baseline: Candidate, dataset: Dataset) -> str:
    content = [_identity(item), _identity(baseline), dataset.kind, dataset.sha256, _code_hash()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _identity(item: Candidate) -> str:
    """A hash of what decides a variant's answers: its files, backend, device and how its output is read."""
    card = item.card
    settings = [card.backend, card.device, card.contract, card.head, card.nms, card.tf32, list(card.input_wh)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in sorted(path for path in (item.directory / "1").rglob("*") if path.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _code_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("accuracy*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cached(cache: Path, key: str, candidate: Candidate) -> Verdict | None:
    try:
        document: Mapping[str, Any] = json.loads((cache / f"{key}.json").read_text(encoding="utf-8"))
        result = AccuracyResult(**{**document["result"], "variant": candidate.name})
        return verdict_from_result(result, candidate, str(document["cause"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(cache: Path, key: str, result: AccuracyResult, cause: str) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    temporary = cache / f".{key}.new"
    temporary.write_text(json.dumps({"result": asdict(result), "cause": cause}, indent=1), encoding="utf-8")
    temporary.replace(cache / f"{key}.json")
