"""Both sides measured as `perf comparison` measures them, and what each finds: a race."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from photofinish.flows import tell

if TYPE_CHECKING:
    from photofinish.client.triton.served import ServedModel
    from photofinish.client.ui.race.replay import Race, RaceClaim, RaceLane, SeenPictures
    from photofinish.frame import Frame
    from photofinish.perf.judge.findings import Findings, SectionFindings
    from photofinish.perf.load.settling import ClientMemory
    from photofinish.perf.measure.bench import Bench
    from photofinish.perf.measure.runs import Plan, Run
    from photofinish.perf.record.record import Block

RACE_FRAMES = 96
"""Pictures that both sides are given over and over, in the order of the source: they move as they did before it."""
RACE_BYTES = 300_000_000
BLOCK_S = 1.0


def race_frames(source: str) -> tuple[Frame, ...]:
    """The first pictures of a source, one after the other, as many as RACE_BYTES hold."""
    from photofinish.perf.measure.bench import frames_from_source

    first = frames_from_source(source, count=1, stride=1)[0]
    count = min(RACE_FRAMES, max(RACE_BYTES // first.image_hwc_bgr.nbytes, 2))
    return frames_from_source(source, count=count, stride=1)


def race_plan(seconds: float, transport: Any = "auto") -> Plan:
    """So many seconds a side, in blocks of about one, at least as many as an interval needs."""
    from photofinish.perf.measure.runs import Plan
    from photofinish.perf.record.record import MIN_ROUNDS

    rounds = max(MIN_ROUNDS, round(seconds / BLOCK_S))
    return Plan(rounds=rounds, block_s=seconds / rounds, transport=transport)


def race_run(
    bench: Bench,
    plan: Plan,
    out: Path,
    *,
    command: str,
    client_memory: ClientMemory = "kept",
    on_progress: Callable[[str], None] = tell,
) -> Run:
    """A run with an empty record, whose file is `out`. command: repeats it."""
    from photofinish.perf.load.settling import settle_client_memory
    from photofinish.perf.measure.runs import Run, new_record
    from photofinish.perf.record.record import require_writable

    require_writable(out)
    settled = settle_client_memory(client_memory, on_progress)
    record = new_record(bench, command=command, client_memory=settled)
    return Run(bench=bench, plan=plan, out=out, on_progress=on_progress, record=record)


def measured_race(run: Run, pair: tuple[ServedModel, ServedModel], *, frames: int | None = None) -> Race:
    """Both sides alone in turn, by the code and the rules of `perf comparison`; then what each finds in the pictures.

    frames: where the finish line is; None for a round number that the slower side reaches within some seconds.
    """
    from photofinish.client.ui.race.replay import Race, finish_line
    from photofinish.client.ui.words import LANGUAGES, WordedError
    from photofinish.perf.judge.findings import findings_from_record
    from photofinish.perf.measure.runs import compare_flat_out
    from photofinish.perf.report.page.first import machine_text
    from photofinish.perf.report.words import words_for

    compare_flat_out(run, *pair)
    found = findings_from_record(run.record)
    primary = found.primary
    if primary is None or len(primary.summaries) < 2:
        raise WordedError("race.why.not_measured")
    lanes = lanes_from_findings(primary)
    finish = finish_line(lanes) if frames is None else frames
    run.on_progress("looking at what both sides find")
    card = pair[1].require_card()
    width, height = card.input_wh
    return Race(
        lanes=lanes,
        finish=finish,
        claim=claim_from_findings(found, primary),
        pictures=seen_pictures(run, pair, count=min(finish, len(run.bench.frames))),
        machine={lang: machine_text(run.record, words_for(run.record, lang)) for lang in LANGUAGES},
        model=f"{card.model} · {width} × {height}",
        rounds=primary.section.load.rounds,
        block_s=primary.section.load.block_s,
    )


def lanes_from_findings(primary: SectionFindings) -> dict[Any, RaceLane]:
    """Both sides' arrivals; raises ConfigError where one has none."""
    from photofinish.client.ui.race.replay import RaceLane
    from photofinish.client.ui.words import WordedError
    from photofinish.perf.report.page.first import side_text
    from photofinish.perf.report.words import ENGLISH

    lanes = {}
    for summary in primary.summaries[:2]:
        arrivals_ns = arrivals_from_blocks(summary.blocks)
        if not len(arrivals_ns):
            raise WordedError("race.why.no_answer", model=summary.arm.model)
        lanes[summary.arm.key] = RaceLane(
            variant=summary.arm.model, how=side_text(summary.arm, ENGLISH)[0], arrivals_ns=arrivals_ns
        )
    return lanes


def arrivals_from_blocks(blocks: Sequence[Block]) -> npt.NDArray[np.int64]:
    """When each frame's boxes were there, had the blocks followed each other without the other side's between them.

    (n,) int64 nanoseconds from the first block's begin. What failed has not arrived.
    """
    begun_ns, arrivals = 0, [np.empty(0, np.int64)]
    for block in sorted(blocks, key=lambda block: block.round):
        samples = block.samples
        done_ns = np.delete(np.array(samples.done_ns, np.int64), np.array(samples.failed, np.intp))
        arrivals.append(begun_ns + np.sort(done_ns))
        begun_ns += samples.window_ns
    return np.concatenate(arrivals)


def claim_from_findings(found: Findings, primary: SectionFindings) -> RaceClaim:
    """What the record claims of the frames per second, with everything that speaks against it in both languages."""
    from photofinish.client.ui.race.replay import RaceClaim
    from photofinish.client.ui.words import LANGUAGES, PageWords
    from photofinish.perf.judge.claims import merged_reasons
    from photofinish.perf.report.words import words_for

    say = {lang: words_for(found.record, lang) for lang in LANGUAGES}
    before, after = primary.summaries[:2]
    claim = primary.gain(after.arm, "frames_per_s")
    if claim is None or claim.value is None:  # rounds without any result: the reasons for that speak against it
        reasons = merged_reasons(primary.claims)
        return RaceClaim(
            ratio=after.frames_per_s / before.frames_per_s,
            doubts={
                lang: tuple(map(words.reason, reasons)) or (PageWords(lang)("race.why.no_result"),)
                for lang, words in say.items()
            },
        )
    return RaceClaim(
        ratio=claim.value,
        low=claim.interval.low if claim.interval else None,
        high=claim.interval.high if claim.interval else None,
        shows_difference=claim.shows_difference,
        doubts={lang: tuple(map(words.reason, claim.reasons)) for lang, words in say.items() if claim.reasons},
    )


def seen_pictures(run: Run, pair: tuple[ServedModel, ServedModel], *, count: int) -> SeenPictures:
    """What each side finds in the first `count` frames, by its own pipeline. Nothing of it is measured."""
    from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
    from photofinish.client.ui.race.replay import SeenPictures
    from photofinish.detections import PARTNER_CONFIDENCE

    bench, frames = run.bench, run.bench.frames[:count]
    with (
        BaselinePipeline(bench.url, pair[0].name, min_confidence=PARTNER_CONFIDENCE) as baseline,
        OptimisedPipeline(
            bench.url,
            pair[1].name,
            http_url=bench.http_url,
            transport=run.plan.transport,
            min_confidence=PARTNER_CONFIDENCE,
        ) as optimised,
    ):
        return SeenPictures(
            images=tuple(frame.image_hwc_bgr for frame in frames),
            found={
                "baseline": tuple(baseline.process(frame).detections for frame in frames),
                "optimised": tuple(optimised.process(frame).detections for frame in frames),
            },
            class_names=pair[1].require_card().class_names,
        )
