"""`photofinish detect`: boxes in pictures, videos, cameras and streams."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from tqdm import tqdm

from client.detecting import detect_in_source, json_from_result, text_from_result
from client.frame_result import FrameResult
from client.metrics import ClientMetrics, MetricsEndpoint
from client.model_choice import choose_model
from client.pipelines import open_pipeline
from client.session import TRANSPORT_CHOICES, TransportChoice
from client.sources import open_source


def say(text: str) -> None:
    """One line on stderr."""
    click.echo(text, err=True)


@click.command()
@click.argument("source")
@click.option("--url", help="host:port of a Triton gRPC endpoint; without it a server is started on --repository.")
@click.option("--variant", help="Full name or suffix, e.g. onnx_fp16; default: the first optimised one.")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--confidence", type=click.FloatRange(0, 1), default=0.25, show_default=True)
@click.option("--save", "save_folder", type=click.Path(path_type=Path), metavar="DIR", help="Keep annotated copies.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per picture on stdout.")
@click.option("--frames", "frame_limit", type=click.IntRange(1), help="Stop after so many frames.")
@click.option("--transport", type=click.Choice(TRANSPORT_CHOICES), default="auto", show_default=True)
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve Prometheus metrics on 127.0.0.1:PORT.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds.")
def detect(
    source: str,
    url: str | None,
    variant: str | None,
    repository: Path,
    confidence: float,
    save_folder: Path | None,
    as_json: bool,
    frame_limit: int | None,
    transport: TransportChoice,
    metrics_port: int | None,
    timeout_s: float,
) -> None:
    """Find objects in SOURCE.

    SOURCE is a picture, a folder of pictures, a video, a camera index, rtsp://… or `synthetic`.
    """
    server = contextlib.nullcontext(url) if url else _embedded(repository, variant)
    metrics = ClientMetrics()
    line_from_result = json_from_result if as_json else text_from_result
    with _metrics_served(metrics, metrics_port), open_source(source, on_notice=say) as frames, server as address:
        pipeline = open_pipeline(
            address,
            variant,
            transport=transport,
            drop_late=frames.is_live,
            min_confidence=confidence,
            timeout_s=timeout_s,
            on_notice=say,
            metrics=metrics,
        )
        total = frames.frame_count if frame_limit is None else min(frame_limit, frames.frame_count or frame_limit)
        with pipeline, tqdm(total=total, unit="frame", disable=None, file=sys.stderr) as progress:
            say(f"{pipeline.model.name} at {address}, pictures by {pipeline.transport}")

            def report(result: FrameResult, name: str) -> None:
                progress.update()
                tqdm.write(line_from_result(result, name, pipeline.card.class_names), file=sys.stdout)

            summary = detect_in_source(
                frames, pipeline, save_folder=save_folder, frame_limit=frame_limit, on_result=report
            )
    say(summary.sentence())


@contextlib.contextmanager
def _metrics_served(metrics: ClientMetrics, port: int | None) -> Iterator[None]:
    """Serve the metrics while the block lasts, if a port was given."""
    if port is None:
        yield
        return
    with MetricsEndpoint(metrics, port=port) as endpoint:
        say(f"metrics at {endpoint.url}")
        yield


@contextlib.contextmanager
def _embedded(repository: Path, variant: str | None) -> Iterator[str]:
    """The address of a server of our own that serves just the chosen variant."""
    from export.cards import card_from_directory
    from server.embedded import EmbeddedServer
    from server.repository import models_in

    cards = {name: card_from_directory(repository / name) for name in models_in(repository)}
    chosen = choose_model(
        {name: card.role if card else "" for name, card in cards.items()}, variant, where=str(repository)
    )
    with EmbeddedServer(repository, models=(chosen,), on_progress=say) as server:
        yield server.endpoint.grpc_url
