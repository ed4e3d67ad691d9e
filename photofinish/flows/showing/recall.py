"""What this machine's own records know of a variant: its gain over plain PyTorch, and what each step bought."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import PhotofinishError
from photofinish.machine.gpu import gpu_handles, gpu_name, opened_nvml
from photofinish.machine.processor import cpu_name, usable_cores

if TYPE_CHECKING:
    from photofinish.client.ui.page.why.known import LadderStep, MachineRecord
    from photofinish.perf.judge.findings import SectionFindings
    from photofinish.perf.judge.summary import ArmSummary
    from photofinish.perf.record.record import Record, Section

RESULTS = Path(".photofinish/results")
MOST_RECORDS = 12
"""The newest ones are read; a record takes a second."""

_log = logging.getLogger(__name__)


def recall_from_results(model: str, weights_sha256: str, *, results: Path = RESULTS) -> MachineRecord:
    """The newest figures of that variant that were measured on this machine and may be believed."""
    from photofinish.client.ui.page.why.known import MachineRecord

    plain_ratio, plain_at, ladder_at = None, "", ""
    ladder: tuple[LadderStep, ...] = ()
    for record in _records_of_this_machine(results):
        for section in record.sections:
            if plain_ratio is None and section.kind == "rivals" and _is_about(section, weights_sha256):
                plain_ratio = _gain_over_plain(section, model, record)
                plain_at = record.created_utc[:10] if plain_ratio else ""
            if not ladder and section.kind == "ladder" and _is_about(section, weights_sha256):
                ladder = _steps(section, record)
                ladder_at = record.created_utc[:10] if ladder else ""
    return MachineRecord(plain_ratio=plain_ratio, plain_at=plain_at, ladder=ladder, ladder_at=ladder_at)


def _records_of_this_machine(results: Path) -> Iterator[Record]:
    """The newest first; files that are no records are passed over."""
    from photofinish.perf.record.record import read_record

    files = [path for path in results.glob("*.json*") if path.is_file()] if results.is_dir() else []
    here = (cpu_name(), usable_cores(), gpus_here())
    for path in heapq.nlargest(MOST_RECORDS, files, key=lambda path: path.stat().st_mtime):
        try:
            record = read_record(path)
        except PhotofinishError as exc:
            _log.info("%s is passed over: %s", path, exc)
            continue
        told = record.environment
        if (told.get("cpu"), told.get("cpu_cores"), [gpu["name"] for gpu in told.get("gpus", ())]) == here:
            yield record


def gpus_here() -> list[str]:
    """The names of this machine's GPUs."""
    with opened_nvml() as nvml:
        return [gpu_name(nvml, handle) for handle in gpu_handles(nvml)]


def _is_about(section: Section, weights_sha256: str) -> bool:
    return any(arm.weights_sha256 == weights_sha256 for arm in section.arms if weights_sha256)


def _findings(section: Section, record: Record) -> SectionFindings:
    from photofinish.perf.judge.findings import findings_from_section

    return findings_from_section(section, cores=record.environment.get("cpu_cores") or 1, harness=record.harness)


def _gain_over_plain(section: Section, model: str, record: Record) -> float | None:
    """Frames a second of the variant over those of plain PyTorch; None where it was not measured, or is void."""
    from photofinish.perf.judge.claims import claim_of_pair
    from photofinish.perf.measure.rivals import PLAIN

    found = _findings(section, record)
    arms = {item.arm.key: item.arm for item in found.summaries}
    own = next((arm for arm in arms.values() if arm.model == model), None)
    if own is None or PLAIN not in arms:
        return None
    claim = claim_of_pair(found.claims, "frames_per_s", own, arms[PLAIN])
    return claim.value if claim is not None and not claim.reasons else None


def _steps(section: Section, record: Record) -> tuple[LadderStep, ...]:
    """The rungs with one picture at a time, the textbook first; none of a ladder that is void."""
    from photofinish.client.ui.page.why.known import LadderStep
    from photofinish.client.ui.words import LANGUAGES
    from photofinish.perf.report.words import Words

    found = _findings(section, record)
    single = [
        (item, item.latency["p50"])
        for item in found.summaries
        if item.latency["p50"] and (item.arm.concurrency, item.arm.batch_size) == (1, 1)
    ]
    if found.is_void or not single:
        return ()
    return tuple(
        LadderStep(
            rung=item.arm.rung,
            name={language: Words(language).arm(item.arm) for language in LANGUAGES},
            ms=(value or 0.0) / 1e6,
            times=1.0 if item.is_first else _claimed(found, item),
        )
        for item, value in single
    )


def _claimed(found: SectionFindings, item: ArmSummary) -> float | None:
    """The gain of a rung in the median, as far as the report itself claims it."""
    claim = found.gain(item.arm, "p50")
    return claim.value if claim is not None and not claim.reasons and claim.shows_difference else None
