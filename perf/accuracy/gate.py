"""The gate: which variants keep enough of the baseline's accuracy to be served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.perf.accuracy.answers import (
    AccuracyResult,
    Answers,
    OnFrame,
    answers_from_server,
    ignore_frame,
    results_from_answers,
)
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.accuracy.diagnosis import advice, diagnose
from photofinish.perf.accuracy.store import AccuracyStore, identity_from_variant

MEAN_CONFIDENCE_ERRORS: Mapping[str, float] = {"fp32": 0.01, "fp16": 0.02, "bf16": 0.03, "int8": 0.1, "fp8": 0.1}
"""How far confidences of matching boxes may differ on average, by precision. mAP alone forgives a wrong input: a COCO
detector keeps it with red and blue swapped."""
MEAN_POINT_ERRORS: Mapping[str, float] = {"fp32": 0.01, "fp16": 0.02, "bf16": 0.03, "int8": 0.05, "fp8": 0.05}
"""How far the baseline's visible keypoints may be missed on average, by precision, as a share of the box's diagonal."""

Serve = Callable[[tuple[str, ...]], AbstractContextManager[str]]
"""`serve(model names)` gives the address of a server that has them, for the length of the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCandidate:
    """A staged variant before the gate. floor: the share of the baseline it must keep. directory: `<dir>/1/model.*`.

    weights_changed: it was pruned from the baseline's weights, so it is another network: mAP alone decides.
    """

    name: str
    floor: float
    card: ModelCard
    directory: Path
    weights_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """One variant after the gate. reason: why it was refused, or why nothing could be decided; else ""."""

    name: str
    backend: str
    precision: str
    floor: float
    passed: bool
    reason: str
    result: AccuracyResult

    @property
    def undecided(self) -> bool:
        """Whether nothing could be decided: neither refused nor measured to be good."""
        return self.passed and bool(self.reason)

    def to_card(self) -> dict[str, Any]:
        """What the served variant tells about its accuracy; without the figures of single classes."""
        values = asdict(self.result)
        del values["class_map50_95"]
        return {**values, "floor": self.floor, "passed": self.passed, "note": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """All verdicts, the baseline's first. dataset: its title. cached: how many were known from an earlier run.

    dataset_notes: what of the data set was not taken as it stands; the figures hold for the rest.
    """

    baseline: str
    dataset: str
    kind: str
    verdicts: tuple[GateVerdict, ...]
    cached: int
    dataset_notes: tuple[str, ...] = ()

    @property
    def undecided(self) -> tuple[GateVerdict, ...]:
        """The variants on which nothing could be decided."""
        return tuple(verdict for verdict in self.verdicts if verdict.undecided)

    @property
    def refused(self) -> tuple[GateVerdict, ...]:
        """The variants that must not be served."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)


def gate_variants(
    candidates: Sequence[GateCandidate],
    dataset: Dataset,
    serve: Serve,
    *,
    baseline: str,
    cache: Path,
    on_frame: OnFrame = ignore_frame,
    on_progress: Callable[[str], None] = lambda text: None,
) -> GateReport:
    """The verdict on every candidate; the server is started only for those that no earlier run has measured.

    cache: a folder of earlier answers and figures, by the hashes of artifact, baseline and data set.
    """
    store = AccuracyStore(cache, dataset)
    identities = {item.name: identity_from_variant(item.card, item.directory) for item in candidates}
    known = {
        item.name: store.result(identities[item.name], identities[baseline], name=item.name) for item in candidates
    }
    missing = [item for item in candidates if known[item.name] is None]
    if missing:
        reference = next(item for item in candidates if item.name == baseline)
        known.update(_measured(missing, reference, dataset, serve, store, identities, on_frame, on_progress))
    verdicts = [verdict_from_result(found[0], item, found[1]) for item in candidates if (found := known[item.name])]
    return GateReport(
        baseline=baseline,
        dataset=dataset.title,
        kind=dataset.kind,
        verdicts=tuple(sorted(verdicts, key=lambda verdict: verdict.name != baseline)),
        cached=len(candidates) - len(missing),
        dataset_notes=dataset.notes,
    )


def _measured(
    missing: Sequence[GateCandidate],
    baseline: GateCandidate,
    dataset: Dataset,
    serve: Serve,
    store: AccuracyStore,
    identities: Mapping[str, str],
    on_frame: OnFrame,
    on_progress: Callable[[str], None],
) -> dict[str, tuple[AccuracyResult, str]]:
    """Figures and cause of refusal of each missing variant; the baseline is asked only if its answers are unknown."""
    answers: dict[str, Answers] = {}
    wanted = {item.name: item for item in (baseline, *missing)}
    for name in wanted:
        if earlier := store.answers(identities[name]):
            answers[name] = earlier
    served = tuple(name for name in wanted if name not in answers or name != baseline.name)
    with serve(served) as url:

        def ask(name: str, frames: Iterable[Frame]) -> Answers:
            total = len(frames) if isinstance(frames, Sequence) else dataset.size
            return answers_from_server(
                url, name, frames, total=total, is_baseline=name == baseline.name, on_frame=on_frame
            )

        for name in wanted:
            if name not in answers:
                answers[name] = ask(name, dataset.frames())
                store.keep_answers(identities[name], answers[name])
        on_progress(f"comparing the answers of {', '.join(answers)}")
        results = results_from_answers(answers, dataset, baseline.card, baseline=baseline.name)
        measured = {}
        for item in missing:
            cause = ""
            # A rectangular input moves confidences as far as swapped channels do; there a probe tells them apart.
            if _decide(results[item.name], item) is False or not item.card.is_square:
                on_progress(
                    f"{item.name}: some frames again, to see whether channels are swapped or pictures scaled wrongly"
                )
                cause = diagnose(item.card, answers[item.name], answers[baseline.name], dataset=dataset, ask=ask)
            store.keep_result(identities[item.name], identities[baseline.name], results[item.name], cause)
            measured[item.name] = (results[item.name], cause)
    return measured


def verdict_from_result(result: AccuracyResult, candidate: GateCandidate, cause: str) -> GateVerdict:
    """The decision, with a reason in one line when it is not a plain pass."""
    decision = _decide(result, candidate, cause)
    if decision is None:
        reason = (
            "nothing to decide on: neither it nor the baseline shows a box on these frames; pass --data or --frames"
            if result.share is None
            else "its keypoints could not be judged: no box on these frames has a keypoint to compare; pass --data "
            "with labelled keypoints, or --frames with pictures that show some"
        )
    elif decision:
        reason = ""
    else:
        reason = _refusal(result, candidate, cause)
    return GateVerdict(
        name=candidate.name,
        backend=candidate.card.backend,
        precision=candidate.card.precision,
        floor=candidate.floor,
        passed=decision is not False,
        reason=reason,
        result=result,
    )


def _decide(result: AccuracyResult, candidate: GateCandidate, cause: str = "") -> bool | None:
    """Whether the variant keeps its floor, confidences and keypoints; None when there is nothing to decide on.

    cause: the fault that a probe found; looked for in every variant with a rectangular input, in others once they fail.
    """
    if result.share is None:
        return None
    if (
        cause
        or result.share < candidate.floor
        or result.mean_confidence_error > confidence_limit(candidate)
        or misses_points(result, candidate)
    ):
        return False
    has_points = candidate.card.keypoint_layout is not None
    return None if has_points and result.oks_share is None and result.mean_point_error is None else True


def misses_points(result: AccuracyResult, candidate: GateCandidate) -> bool:
    """Whether the variant's keypoints lie too far from the baseline's; False where none could be compared."""
    return result.mean_point_error is not None and not result.mean_point_error <= point_limit(candidate)


def confidence_limit(candidate: GateCandidate) -> float:
    """How far the variant's confidences may differ from the baseline's, on average."""
    if candidate.weights_changed:
        return 1.0
    # Without the baseline's grey bars the network sees another surrounding, which moves confidences at any precision.
    widest = max(MEAN_CONFIDENCE_ERRORS.values())
    return MEAN_CONFIDENCE_ERRORS.get(candidate.card.precision, widest) if candidate.card.is_square else widest


def point_limit(candidate: GateCandidate) -> float:
    """How far the variant's keypoints may lie from the baseline's, on average, as a share of the box's diagonal."""
    if candidate.weights_changed:
        return 1.0
    widest = max(MEAN_POINT_ERRORS.values())
    return MEAN_POINT_ERRORS.get(candidate.card.precision, widest) if candidate.card.is_square else widest


def _refusal(result: AccuracyResult, candidate: GateCandidate, cause: str) -> str:
    if result.map_share is not None:
        kept = f"keeps {result.map_share:.1%} of the baseline's mAP50-95 ({result.map50_95:.3f})"
        lost = f"class {result.worst_class} lost most ({result.worst_class_loss:.3f} mAP50-95)"
    else:
        kept = f"{result.matched_share or 0:.1%} of its boxes match the baseline's"
        lost = f"class {result.worst_class} lost most ({result.worst_class_loss:.0f} boxes)"
    if result.oks_share is not None:
        kept += f" and {result.oks_share:.1%} of its keypoints' OKS-mAP50-95 ({result.oks_map50_95:.3f})"
    parts = [f"{kept}, its floor is {candidate.floor:.1%}"]
    if result.mean_confidence_error > (limit := confidence_limit(candidate)):
        parts.append(
            f"its confidences differ from the baseline's by {result.mean_confidence_error:.3f} on average, "
            f"{candidate.card.precision} may differ by {limit:g}"
        )
    if misses_points(result, candidate):
        parts.append(
            f"its keypoints lie {result.mean_point_error:.1%} of the box's diagonal from the baseline's on average, "
            f"{candidate.card.precision} may lie {point_limit(candidate):.0%} off"
        )
    if result.worst_class:
        parts.append(lost)
    if cause:
        parts.append(cause)
    parts.append(advice(candidate.card, result))
    return "; ".join(parts)
