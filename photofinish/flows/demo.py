"""`photofinish demo`: two variants chosen, made and published, then measured in turn or shown side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photofinish.address.hiding import public_address
from photofinish.errors import ConfigError, PhotofinishError, VerdictError
from photofinish.flows import tell
from photofinish.flows.demo_choice import default_baseline, default_candidates, is_calibrated, pair_in_repository
from photofinish.flows.gate import WORK, GateOptions, alone_in, error_from_report, gate_and_publish, tell_places
from photofinish.flows.view import Pair, server_of, show_pair, warn_of_toy
from photofinish.model_card import DEMO_WEIGHTS
from photofinish.variant import default_variants_path, select_variant, variants_from_toml

if TYPE_CHECKING:
    from photofinish.client.ui.processes.source import Pace
    from photofinish.client.ui.processes.turns import TurnMode
    from photofinish.client.ui.words import Language
    from photofinish.perf.accuracy.answers import OnFrame
    from photofinish.variant import Variant

GATE_FRAMES = 40
HEADLESS_FRAMES = 48
NO_GAIN = "no gain is claimed"
SOME_GAINS = "a gain in brackets is not claimed"
HEADLESS_TIMEOUT_S = 60.0
"""A deadline that a busy machine does not miss; the table says how long requests took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """What the user asked for, one field an option. baseline, optimised: None leaves the choice to us.

    model: one that is published already, shown as it is; None makes and publishes that of the weights.
    """

    weights: str
    source: str
    repository: Path
    baseline: str | None
    optimised: str | None
    device: str
    headless: bool
    seconds: float
    pace: Pace
    turns: TurnMode
    host: str
    port: int | None
    share: bool
    root_path: str = ""
    model: str | None = None
    kernels: bool = False
    trusted_hosts: tuple[str, ...] = ()
    lang: Language | None = None


def run_demo(request: DemoRequest) -> None:
    """Make and publish the two sides, then print their comparison or show them until Ctrl-C."""
    frame_wh = check_source(request.source)
    if not request.headless:
        show_demo(request, frame_wh)
        return
    warn_of_toy(request.source, [DEMO_WEIGHTS] if request.weights == "demo" and not request.model else [])
    text, doubt = compare_headless(pair_of(request, frame_wh, tell), source=request.source, seconds=request.seconds)
    click.echo(click.style(text, dim=True) if doubt == NO_GAIN else text)
    if doubt:
        raise VerdictError(f"{doubt}: do what stands under the table, then measure again")


def show_demo(request: DemoRequest, frame_wh: tuple[int, int] | None) -> None:
    """The page first, with the progress of what is made; then the view at the same address, until Ctrl-C."""
    from photofinish.client.ui.page.app import Hosting, page_start
    from photofinish.client.ui.page.split_view import Choice

    hosting = Hosting(
        host=request.host,
        port=request.port,
        share=request.share,
        root_path=request.root_path,
        trusted_hosts=request.trusted_hosts,
        language=request.lang,
    )
    with page_start(hosting, on_progress=tell) as start:

        def tell_both(line: str) -> None:
            tell(line)
            start.tell(line)

        pair = pair_of(request, frame_wh, tell_both, start.count)
        choice = Choice(
            source=request.source,
            baseline=pair.baseline,
            optimised=pair.optimised,
            pace=request.pace,
            turns=request.turns,
        )
        show_pair(pair, choice, hosting, on_progress=tell_both, start=start)


def pair_of(
    request: DemoRequest,
    frame_wh: tuple[int, int] | None,
    on_progress: Callable[[str], None],
    on_frame: OnFrame = lambda name, done, total: None,
) -> Pair:
    """The two variants: of a model that is published, else made of the weights by nobody else at the same time."""
    if request.model:
        return published_pair(request, frame_wh)
    tell_places(WORK / "staging", request.repository, on_progress)
    with alone_in(WORK / "staging", on_progress):
        return publish_pair(request, frame_wh=frame_wh, on_progress=on_progress, on_frame=on_frame)


def published_pair(request: DemoRequest, frame_wh: tuple[int, int] | None) -> Pair:
    """Two variants of a model that the repository holds already."""
    left, right = pair_in_repository(
        request.repository,
        request.model or "",
        baseline=request.baseline,
        optimised=request.optimised,
        frame_wh=frame_wh,
    )
    return Pair(baseline=left, optimised=right, repository=request.repository)


def check_source(source: str) -> tuple[int, int] | None:
    """Width and height of its pictures. SourceError now, not after minutes of exporting, if it has none."""
    from photofinish.client.sources.opening import open_source

    with open_source(source) as opened:
        return opened.size_wh or next((frame.size_wh for frame in opened.frames()), None)


def publish_pair(
    request: DemoRequest,
    *,
    frame_wh: tuple[int, int] | None = None,
    on_progress: Callable[[str], None] = tell,
    on_frame: OnFrame = lambda name, done, total: None,
) -> Pair:
    """Make, where stale, and publish the two variants. The best candidate that can be made here wins.

    frame_wh: size of the source's pictures; without it no variant with a rectangular input is a candidate.
    """
    from photofinish.export.build import resolve_device, stage_variants

    path = default_variants_path()
    left, rights = sides_from_request(request, path, frame_wh)
    for position, right in enumerate(rights, start=1):
        try:
            staged = stage_variants(
                request.weights,
                variants_path=path,
                names=(left.name, right.name),
                device=request.device,
                staging=WORK / "staging",
                on_progress=on_progress,
                kernels=request.kernels,
            )
        except PhotofinishError as exc:
            if position == len(rights):
                raise
            on_progress(f"{right.name} is left out: {exc}")
            continue
        if not staged[0].card.has_boxes:
            raise ConfigError(f"{request.weights} is a model for {staged[0].card.task}; the demo shows boxes")
        baseline = next(item for item in staged if item.variant.name == left.name)
        options = GateOptions(size=GATE_FRAMES, accept_undecided=True, on_frame=on_frame)
        outcome = gate_and_publish(staged, baseline, request.repository, options, on_progress=on_progress)
        if right.name in outcome.published:
            return Pair(baseline=left.name, optimised=right.name, repository=request.repository)
        if outcome.report and position == len(rights):
            raise error_from_report(outcome.report, WORK)
        on_progress(f"{right.name} is left out: it fell below its accuracy floor")
    raise ConfigError(f"{path} defines no optimised variant for {request.weights} on {resolve_device(request.device)}")


def sides_from_request(
    request: DemoRequest, path: Path, frame_wh: tuple[int, int] | None
) -> tuple[Variant, tuple[Variant, ...]]:
    """The baseline, and the candidates for the other side, best first."""
    from photofinish.export.build import resolve_device
    from photofinish.export.loading.weights import find_weights

    found = find_weights(request.weights)
    known = variants_from_toml(path, model=found.model)
    left = select_variant(known, request.baseline) if request.baseline else default_baseline(known, found.kind)
    if request.optimised:
        return left, (select_variant(known, request.optimised),)
    calibrated = is_calibrated(request.weights, found.kind)
    where = resolve_device(request.device)
    return left, default_candidates(known, found.kind, where, is_calibrated=calibrated, frame_wh=frame_wh)


def compare_headless(pair: Pair, *, source: str, seconds: float) -> tuple[str, str]:
    """Serve, measure both pipelines in turn on the same frames; the tables, and which gains are void: NO_GAIN or "".

    SOME_GAINS where others may be believed.
    """
    from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
    from photofinish.client.sources.opening import open_source
    from photofinish.flows.demo_truth import truth_table
    from photofinish.machine.processor import usable_cores
    from photofinish.perf.judge.findings import findings_from_section
    from photofinish.perf.load.settling import settle_client_memory
    from photofinish.perf.measure.demo import compare_pipelines
    from photofinish.perf.report.text import comparison_table
    from photofinish.perf.report.words import Words

    settle_client_memory("kept", tell)
    with open_source(source) as opened:
        frames = tuple(itertools.islice(opened.frames(), HEADLESS_FRAMES))
    if not frames:
        raise ConfigError(f"{public_address(source)} gave no frame")
    with server_of(pair) as server:
        at = server.endpoint
        with (
            BaselinePipeline(at.grpc_url, pair.baseline, timeout_s=HEADLESS_TIMEOUT_S) as baseline,
            OptimisedPipeline(
                at.grpc_url,
                pair.optimised,
                http_url=at.http_url,
                timeout_s=HEADLESS_TIMEOUT_S,
                on_notice=tell,
            ) as optimised,
        ):
            section = compare_pipelines(
                baseline,
                optimised,
                frames,
                seconds=seconds,
                transports=(str(baseline.transport), str(optimised.transport)),
                models=(pair.baseline, pair.optimised),
                metrics_url=at.metrics_url,
                server_pid=at.pid,
                on_progress=tell,
            )
            found = findings_from_section(section, cores=usable_cores())
            tables = [
                comparison_table(found, Words(longer="--seconds")),
                truth_table(baseline, optimised, frames),
            ]
            is_untrained = baseline.card.untrained
            input_wh = optimised.card.input_wh
    if input_wh[0] != input_wh[1]:
        width, height = input_wh
        tables.append(
            f"{pair.optimised} takes {width} × {height}: the frame without the grey padding of the baseline's square, "
            f"the picture as large. The same in a square: --optimised {pair.optimised.removesuffix('_rect')}"
        )
    if is_untrained:
        tables.append("The model is untrained: its boxes mean nothing. The speed is real.")
    void = [bool(claim.reasons) for claim in found.claims]
    doubt = NO_GAIN if void and all(void) else SOME_GAINS if any(void) else ""
    return "\n\n".join(table for table in tables if table), doubt
