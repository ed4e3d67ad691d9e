"""A search for the most cameras, step by step into its record, and what the record says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from photofinish.perf.cameras.goal import CameraGoal, ProbeVerdict, verdict_on_step
from photofinish.perf.cameras.search import Ended, NextStep, SearchPlan, Tried, above_of, next_step
from photofinish.perf.cameras.shares import GpuShare, shares_of_step
from photofinish.perf.cameras.walls import Wall, wall_of_step
from photofinish.perf.record.find import FindProbe, FindRecord, Purpose

FIRST_OVERHEAD_S = 30.0
"""For encoding clips, starting processes and warming up, before any step told how long that takes."""
OVERHEAD_A_CAMERA_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedProbe:
    """A probe with its verdict."""

    probe: FindProbe
    verdict: ProbeVerdict

    @property
    def cameras(self) -> int:
        """How many were tried."""
        return self.probe.step.cameras


@dataclass(frozen=True, slots=True, kw_only=True)
class FindResult:
    """What a record says. ended: None while the search goes on. confirmation: the newest one at the number found.

    above: the last probe of a tenth more. wall: of the smallest number that did not hold, None where none is known.
    shares: of several GPUs, at the number found; walls: of the same GPUs, where `wall` was met.
    """

    judged: tuple[JudgedProbe, ...]
    ended: Ended | None
    next: NextStep | None
    confirmation: JudgedProbe | None
    above: JudgedProbe | None
    hard: tuple[JudgedProbe, ...]
    wall: Wall | None
    wall_cameras: int
    shares: tuple[GpuShare, ...] = ()
    walls: tuple[GpuShare, ...] = ()


def search_on(
    record: FindRecord,
    measure: Callable[[NextStep], FindProbe],
    *,
    seconds_left: Callable[[], float],
    on_probe: Callable[[FindRecord, JudgedProbe], None],
) -> FindRecord:
    """Run steps until the search is over, or the next one does not fit into the time that is left."""
    while True:
        step = next_step(tried_of(record), plan_of(record))
        if isinstance(step, Ended) or seconds_left() < needed_s(record, step):
            return record
        probe = measure(step)
        record = record.with_probe(probe)
        on_probe(record, judged_probe(probe, record))


def needed_s(record: FindRecord, step: NextStep) -> float:
    """How long a step takes, by what the steps so far took beside their windows."""
    known = [probe.overhead_s * max(step.cameras / probe.step.cameras, 1) for probe in record.probes[-2:]]
    overhead_s = 1.2 * max(known, default=FIRST_OVERHEAD_S + OVERHEAD_A_CAMERA_S * step.cameras)
    return overhead_s + window_s(record, step.purpose)


def window_s(record: FindRecord, purpose: Purpose) -> float:
    """A step's length after its warm-up. A hard run of reconnections has two rounds of them at least."""
    if purpose == "confirm":
        return record.confirm_seconds
    return max(record.seconds, 70.0) if purpose == "reconnects" else record.seconds


def plan_of(record: FindRecord) -> SearchPlan:
    """How the search goes."""
    return SearchPlan(**record.search)


def goal_of(record: FindRecord) -> CameraGoal:
    """What a number of cameras must hold."""
    return CameraGoal(**record.goal)


def judged_probe(probe: FindProbe, record: FindRecord) -> JudgedProbe:
    """A confirmation is judged by the sample rule, the others by the nearest rank of what there is."""
    is_sure = probe.purpose == "confirm"
    verdict = verdict_on_step(probe.step, goal_of(record), is_sure=is_sure, apart=probe.apart)
    return JudgedProbe(probe=probe, verdict=verdict)


def tried_of(record: FindRecord) -> list[Tried]:
    """The steps so far as the search takes them."""
    return [_tried(judged_probe(probe, record)) for probe in record.probes]


def _tried(item: JudgedProbe) -> Tried:
    return Tried(purpose=item.probe.purpose, cameras=item.cameras, outcome=item.verdict.outcome)


def result_of(record: FindRecord) -> FindResult:
    """Everything that a report says, judged once."""
    judged = tuple(judged_probe(probe, record) for probe in record.probes)
    step = next_step([_tried(item) for item in judged], plan_of(record))
    ended = step if isinstance(step, Ended) else None
    cameras = ended.cameras if ended else max((i.cameras for i in judged if i.verdict.outcome == "held"), default=0)

    def last(purpose: Purpose, count: int) -> JudgedProbe | None:
        found = [item for item in judged if item.probe.purpose == purpose and item.cameras == count]
        return found[-1] if found else None

    confirmation = last("confirm", cameras)
    above = last("above", above_of(cameras, plan_of(record))) if cameras else None
    blocked = _first_wall(judged, above, cameras)
    held = [item for item in judged if item.cameras == cameras and item.verdict.outcome == "held"]
    shown = confirmation or (held[-1] if held else None)
    return FindResult(
        judged=judged,
        ended=ended,
        next=step if isinstance(step, NextStep) else None,
        confirmation=confirmation,
        above=above,
        hard=tuple(item for purpose in ("keyframes", "reconnects") if (item := last(purpose, cameras))),
        wall=None if blocked is None else _wall(blocked, record),
        wall_cameras=0 if blocked is None else blocked.cameras,
        shares=() if shown is None else _shares(shown, record),
        walls=() if blocked is None else _shares(blocked, record),
    )


def _first_wall(judged: tuple[JudgedProbe, ...], above: JudgedProbe | None, cameras: int) -> JudgedProbe | None:
    """The step that shows the wall best: a tenth more where that missed, else the fewest cameras that did not hold."""
    if above is not None and above.verdict.outcome == "missed":
        return above
    kinds = ("search", "confirm", "above")
    failed = [i for i in judged if i.verdict.outcome != "held" and i.cameras > cameras and i.probe.purpose in kinds]
    return min(failed, key=lambda item: (item.verdict.outcome == "void", item.cameras), default=None)


def _shares(item: JudgedProbe, record: FindRecord) -> tuple[GpuShare, ...]:
    is_sure, cores = item.probe.purpose == "confirm", int(record.environment["cpu_cores"])
    return shares_of_step(item.probe.step, goal_of(record), cores, is_sure=is_sure, apart=item.probe.apart)


def _wall(item: JudgedProbe, record: FindRecord) -> Wall:
    is_late = item.verdict.outcome == "void" and any(reason.startswith("generator") for reason in item.verdict.reasons)
    return wall_of_step(item.probe.step, int(record.environment["cpu_cores"]), is_void_by_generator=is_late)
