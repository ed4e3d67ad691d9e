"""`photofinish perf cameras --find`: the most cameras that hold a goal, found, confirmed and bounded."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from pathlib import Path

import click

from photofinish.client.cameras.streams.process import is_cut, stream_name
from photofinish.client.cameras.values.camera import DecodeChoice
from photofinish.errors import ConfigError, VerdictError
from photofinish.flows import tell
from photofinish.flows.bench import repeat_command
from photofinish.flows.camera.perf import gpus_of, planned_decoding, required_stream, served_for_cameras, stream_facts
from photofinish.machine.gpu import opened_nvml
from photofinish.perf.cameras.finding import JudgedProbe, needed_s, result_of, search_on, window_s
from photofinish.perf.cameras.goal import CameraGoal
from photofinish.perf.cameras.measuring import StepPlan, measure_step
from photofinish.perf.cameras.search import NextStep, SearchPlan
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.perf.record.find import FindProbe, FindRecord, read_find_record, write_find_record
from photofinish.perf.record.record import require_writable
from photofinish.perf.report.cameras.find import PURPOSES, find_text, headline, write_find_reports

CUT_EVERY_S = 30.0
END_S = 10.0
"""For ending the server and writing the reports."""


def find_cameras(
    *,
    urls: tuple[str, ...],
    http_urls: tuple[str, ...],
    gpus: str,
    variant: str,
    repository: Path,
    source: str,
    codec: str,
    stream_fps: float,
    stream_size: str,
    frames_per_s: float,
    p99_ms: float,
    max_drop_percent: float,
    start: int,
    most: int,
    seconds: float,
    confirm_seconds: float,
    minutes: float | None,
    decode: DecodeChoice,
    hard_runs: bool,
    anew: bool,
    out: Path,
) -> None:
    """The check list on stdout, the record in `out`. Raises VerdictError when nothing was found, or it is not over."""
    began_s = time.monotonic()
    size_wh = required_stream(stream_size, codec, stream_fps, frames_per_s)
    goal = CameraGoal(p99_ms=p99_ms, max_drops=max_drop_percent / 100, min_gpu_decode=float(decode == "gpu"))
    search = SearchPlan(start=start, most=most, has_hard_runs=hard_runs)
    _require_time(goal, confirm_seconds, frames_per_s, minutes)
    require_writable(out)
    decoding = planned_decoding(gpus, decode)
    with (
        opened_nvml() as nvml,
        served_for_cameras(urls, http_urls, variant, repository, decoding, nvml) as (at, card, server),
    ):
        plan = replace(at, wanted_fps=frames_per_s, stream_fps=stream_fps, size_wh=size_wh, source=source, codec=codec)
        record = FindRecord(
            command=repeat_command(),
            created_utc=utc_now(),
            environment=environment_fingerprint(nvml, server=server),
            variant=plan.variant,
            stream=stream_facts(size_wh, stream_fps, codec, source),
            wanted_fps=frames_per_s,
            goal=asdict(goal),
            search=asdict(search),
            seconds=seconds,
            confirm_seconds=confirm_seconds,
            accuracy=dict(card.accuracy),
            gpus=gpus_of(at),
            decode=decode,
            weights_sha256=card.weights_sha256,
        )
        record = record if anew else _gone_on(record, out)

        def left_s() -> float:
            return float("inf") if minutes is None else 60 * minutes - END_S - (time.monotonic() - began_s)

        def keep(found: FindRecord, item: JudgedProbe) -> None:
            write_find_record(found, out)
            tell(f"  {item.verdict.outcome}{''.join(f': {reason}' for reason in item.verdict.reasons[:1])}")

        record = search_on(record, lambda step: _measured(step, record, plan), seconds_left=left_s, on_probe=keep)
    write_find_record(record, out)
    paths = write_find_reports(record, out)
    result = result_of(record)
    click.echo(find_text(record))
    click.echo("\n" + "\n".join(map(str, (out, *paths))))
    if result.next is not None:
        wanted = f"{PURPOSES[result.next.purpose]} at {result.next.cameras}, {needed_s(record, result.next):.0f} s"
        raise VerdictError(f"the time is up before the next step ({wanted}); the same command goes on from {out}")
    if result.ended is None or result.ended.ending != "found":
        raise VerdictError(headline(record, result))


def _measured(step: NextStep, record: FindRecord, plan: StepPlan) -> FindProbe:
    length_s = window_s(record, step.purpose)
    tell(f"{PURPOSES[step.purpose]}: {step.cameras} cameras, {length_s:g} s after the warm-up")
    is_cutting = step.purpose == "reconnects"
    began_s = time.monotonic()
    measured = asyncio.run(
        measure_step(
            step.cameras,
            replace(
                plan,
                seconds=length_s,
                is_aligned=step.purpose == "keyframes",
                cut_every_s=CUT_EVERY_S if is_cutting else 0.0,
            ),
            tell,
        )
    )
    apart = tuple(stream_name(number) for number in range(1, step.cameras + 1) if is_cutting and is_cut(number))
    overhead_s = max(time.monotonic() - began_s - measured.window_s, 0.0)
    return FindProbe(purpose=step.purpose, step=measured, apart=apart, overhead_s=overhead_s)


def _gone_on(fresh: FindRecord, out: Path) -> FindRecord:
    """The search that `out` holds, where it is one with the same settings that is not over; else the fresh one."""
    if not out.exists():
        return fresh
    known = read_find_record(out)
    before, now = known.settings(), fresh.settings()
    # A search that an older release began does not tell its weights.
    if different := [key for key in now if before.get(key, now[key]) != now[key]]:
        raise ConfigError(
            f"{out} holds a search with another {', '.join(different)}; name another --out, or begin again with --anew"
        )
    if result_of(known).ended is not None:
        raise ConfigError(f"{out} holds a search that is over; name another --out, or begin again with --anew")
    tell(f"going on after {len(known.probes)} steps of {out}")
    return known


def _require_time(goal: CameraGoal, confirm_seconds: float, frames_per_s: float, minutes: float | None) -> None:
    """Raise ConfigError where the confirmation could not tell a P99, or would never fit."""
    least_s = goal.frames_needed() / frames_per_s
    if confirm_seconds < least_s:
        raise ConfigError(
            f"--confirm-seconds must be {least_s:.0f} at least: a P99 of each camera needs {goal.frames_needed()} "
            f"frames, at {frames_per_s:g} a second"
        )
    if minutes is not None and confirm_seconds + 60 > 60 * minutes:
        raise ConfigError(
            f"a confirmation of {confirm_seconds:g} s does not fit --minutes {minutes:g} with a minute for its start; "
            "raise the one or shorten the other with --confirm-seconds"
        )
