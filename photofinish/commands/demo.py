"""`photofinish demo`: weights to a split view, or to a printed comparison, in one command."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photofinish.address.hiding import public_address
from photofinish.commands.source_options import source_credentials
from photofinish.errors import ConfigError, PhotofinishError, ServerError
from photofinish.flows.demo_choice import default_baseline, default_candidates, is_calibrated
from photofinish.flows.gate import WORK, GateOptions, alone_in, error_from_report, gate_and_publish
from photofinish.variant import default_variants_path, select_variant, variants_from_toml

if TYPE_CHECKING:
    from threading import Event

    from photofinish.client.ui.processes.source import Pace
    from photofinish.client.ui.processes.turns import TurnMode
    from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

GATE_FRAMES = 40
HEADLESS_FRAMES = 48
HEADLESS_TIMEOUT_S = 60.0
"""A deadline that a busy machine does not miss; the table says how long requests took."""
SERVER_RESTARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The published variants of the two sides."""

    baseline: str
    optimised: str
    repository: Path


@click.command()
@click.option("--weights", default="demo", show_default=True, help="A .pt, .onnx or .yaml file, or demo.")
@click.option("--source", default="synthetic", show_default=True, help="synthetic, a file, a camera number, rtsp://…")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--baseline", help="Variant on the left, such as torch_fp32_tensor; default: the baseline.")
@click.option("--optimised", help="Variant on the right, such as onnx_fp16; default: the best this machine can make.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--headless", is_flag=True, help="No page: measure both pipelines in turn, print their table, end.")
@click.option("--seconds", type=click.FloatRange(2, 600), default=30.0, show_default=True, help="For --headless.")
@click.option("--pace", type=click.Choice(["free", "camera"]), default="free", show_default=True, help="As in `ui`.")
@click.option(
    "--turns", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True, help="As in `ui`."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the page.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the page; default: the first free from 7860.")
@click.option("--share", is_flag=True, help="Print a public link for judges, through Gradio's tunnel.")
@source_credentials
def demo(
    weights: str,
    source: str,
    repository: Path,
    baseline: str | None,
    optimised: str | None,
    device: str,
    headless: bool,
    seconds: float,
    pace: Pace,
    turns: TurnMode,
    host: str,
    port: int | None,
    share: bool,
) -> None:
    """Export, serve, and show baseline and optimised pipeline side by side. Ctrl-C stops everything."""
    frame_wh = check_source(source)
    if not headless:
        check_port(host, port)
    with alone_in(WORK / "staging", tell):
        pair = publish_pair(
            weights, repository=repository, baseline=baseline, optimised=optimised, device=device, frame_wh=frame_wh
        )
    if headless:
        click.echo(compare_headless(pair, source=source, seconds=seconds))
    else:
        show_view(pair, source=source, pace=pace, turns=turns, host=host, port=port, share=share)


def tell(line: str) -> None:
    """One line of progress on stderr."""
    click.echo(line, err=True)


def check_source(source: str) -> tuple[int, int] | None:
    """Width and height of its pictures. SourceError now, not after minutes of exporting, if it has none."""
    from photofinish.client.sources.opening import open_source

    with open_source(source) as opened:
        return opened.size_wh or next((frame.size_wh for frame in opened.frames()), None)


def check_port(host: str, port: int | None) -> None:
    """Raise ConfigError now, not after minutes of exporting, when the page cannot listen there."""
    from photofinish.client.ui.page.server import open_listener

    open_listener(host, port).close()


def publish_pair(
    weights: str,
    *,
    repository: Path,
    baseline: str | None,
    optimised: str | None,
    device: str,
    frame_wh: tuple[int, int] | None = None,
) -> Pair:
    """Make, where stale, and publish the two variants. The best candidate that can be made here wins.

    frame_wh: size of the source's pictures; without it no variant with a rectangular input is a candidate.
    """
    from photofinish.export.build import resolve_device, stage_variants
    from photofinish.export.loading.weights import find_weights

    found = find_weights(weights)
    path = default_variants_path()
    known = variants_from_toml(path, model=found.model)
    where = resolve_device(device)
    left = select_variant(known, baseline) if baseline else default_baseline(known, found.kind)
    rights = (
        (select_variant(known, optimised),)
        if optimised
        else default_candidates(
            known, found.kind, where, is_calibrated=is_calibrated(weights, found.kind), frame_wh=frame_wh
        )
    )
    for position, right in enumerate(rights, start=1):
        try:
            staged = stage_variants(
                weights,
                variants_path=path,
                names=(left.name, right.name),
                device=device,
                staging=WORK / "staging",
                on_progress=tell,
            )
        except PhotofinishError as exc:
            if position == len(rights):
                raise
            tell(f"{right.name} is left out: {exc}")
            continue
        if staged[0].card.task != "detect":
            raise ConfigError(f"{weights} is a model for {staged[0].card.task}; the demo shows detectors")
        staged_left = next(item for item in staged if item.variant.name == left.name)
        outcome = gate_and_publish(staged, staged_left, repository, GateOptions(size=GATE_FRAMES), on_progress=tell)
        if right.name in outcome.published:
            return Pair(baseline=left.name, optimised=right.name, repository=repository)
        if outcome.report and position == len(rights):
            raise error_from_report(outcome.report, WORK)
        tell(f"{right.name} is left out: it fell below its accuracy floor")
    raise ConfigError(f"{path} defines no optimised variant for {weights} on {where}")


def compare_headless(pair: Pair, *, source: str, seconds: float) -> str:
    """Serve, measure both pipelines in turn on the same frames, and give the tables."""
    from photofinish.client.pipeline.opening import BaselinePipeline, OptimisedPipeline
    from photofinish.client.sources.opening import open_source
    from photofinish.flows.demo_truth import truth_table
    from photofinish.perf.load.settling import settle_client_memory
    from photofinish.perf.measure.demo import compare_pipelines
    from photofinish.perf.report.terminal import comparison_table

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
            tables = [comparison_table(section), truth_table(baseline, optimised, frames)]
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
    return "\n\n".join(table for table in tables if table)


def show_view(
    pair: Pair, *, source: str, pace: Pace, host: str, port: int | None, share: bool, turns: TurnMode = "auto"
) -> None:
    """Serve and show until Ctrl-C. A server that ends by itself is started again, SERVER_RESTARTS times at most."""
    from photofinish.client.ui.page.app import Hosting, serve_view, stopped_by_signals
    from photofinish.client.ui.page.split_view import Choice

    choice = Choice(source=source, baseline=pair.baseline, optimised=pair.optimised, pace=pace, turns=turns)
    with server_of(pair) as server, stopped_by_signals() as stop, ExitStack() as stack:
        at = server.endpoint
        hosting = Hosting(host=host, port=port, share=share)
        urls = {"http_url": at.http_url, "metrics_url": at.metrics_url}
        stack.enter_context(serve_view(at.grpc_url, choice, hosting, **urls, on_progress=tell))
        tell("Ctrl-C stops.")
        for restart in range(1, SERVER_RESTARTS + 1):
            if waited_for_end(server, stop):
                return
            tell(f"The server ended by itself; starting it again ({restart} of {SERVER_RESTARTS})")
            server.stop()
            server = stack.enter_context(server_of(pair, at))
        if not waited_for_end(server, stop):
            raise ServerError(f"the server ended {SERVER_RESTARTS + 1} times; see {server.log_path}")


def server_of(pair: Pair, at: ServerEndpoint | None = None) -> EmbeddedServer:
    """A server for the two variants, on free ports or on those of an earlier one."""
    from photofinish.server.triton.embedded import EmbeddedServer

    urls = (at.grpc_url, at.http_url, at.metrics_url) if at else (":0", ":0", ":0")
    grpc, http, metrics = (int(url.rpartition(":")[2]) for url in urls)
    return EmbeddedServer(
        pair.repository,
        models=(pair.baseline, pair.optimised),
        grpc_port=grpc,
        http_port=http,
        metrics_port=metrics,
        on_progress=tell,
    )


def waited_for_end(server: EmbeddedServer, stop: Event) -> bool:
    """True once the user stops; False as soon as the server has ended by itself."""
    while server.is_alive():
        if stop.wait(0.5):
            return True
    return stop.is_set()
