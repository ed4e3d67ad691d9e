"""What `photofinish detect` does: source, server, pipeline and printing put together."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from photofinish.client.detect.detecting import DetectSummary, detect_in_source
from photofinish.client.detect.telling import json_from_result, text_from_result
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.metrics import ClientMetrics, MetricsEndpoint
from photofinish.client.pipeline.opening import choose_models, open_pipeline
from photofinish.client.sources.opening import Source, open_source
from photofinish.client.sources.pictures import PictureSource
from photofinish.client.triton.transport import TransportChoice
from photofinish.flows import tell


def run_detect(
    source: str,
    *,
    url: str | None,
    variant: str | None,
    model: str | None,
    repository: Path,
    confidence: float,
    save_folder: Path | None,
    as_json: bool,
    frame_limit: int | None,
    transport: TransportChoice,
    metrics_port: int | None,
    timeout_s: float,
    strict: bool = False,
    with_text: bool = False,
    every: int = 1,
    with_models: tuple[str, ...] = (),
) -> None:
    """Detect in a source: lines on stdout, progress and a summary on stderr. Without url a server is started.

    The summary comes however the run ends, Ctrl-C and errors included. with_text, every: as in `detect_in_source`.
    with_models: further models that look at each picture, as `choose_beside` takes them.
    Raises SourceError at the end when pictures had to be skipped, and at the first of them when `strict`; at the end,
    too, InferenceError when one of several models left frames without an answer.
    """
    metrics = ClientMetrics()
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    line_from_result = functools.partial(json_from_result, ascii_only=not is_utf8) if as_json else text_from_result
    with (
        _metrics_served(metrics, metrics_port),
        open_source(source, strict=strict, every=every, on_notice=tell) as frames,
        _server(url, repository, variant, model, frames.size_wh, with_models) as (address, http_url, names),
    ):
        pipeline = open_pipeline(
            address,
            names[0] if names else variant,
            with_models=names[1:] if names else with_models,
            model=model,
            frame_wh=frames.size_wh,
            http_url=http_url,
            transport=transport,
            drop_late=frames.is_live,
            min_confidence=confidence,
            timeout_s=timeout_s,
            on_notice=tell,
            metrics=metrics,
        )
        total = _frames_to_look_at(frames, every, frame_limit)
        with pipeline, tqdm(total=total, unit="frame", disable=None, file=sys.stderr) as progress:
            told = "" if total is None else f", {total} frames to look at"
            served = " and ".join(model.name for model in pipeline.models)
            tell(f"{served} at {address}, pictures by {pipeline.transport}{told}")

            def report(result: FrameResult, name: str) -> None:
                progress.update()
                tqdm.write(line_from_result(result, name, pipeline.card.class_names), file=sys.stdout)

            def end(summary: DetectSummary) -> None:
                progress.close()
                tell(summary.sentence())

            summary = detect_in_source(
                frames,
                pipeline,
                save_folder=save_folder,
                with_text=with_text,
                every=every,
                frame_limit=frame_limit,
                on_result=report,
                on_notice=tell,
                on_end=end,
            )
    frames.require_all_read()
    summary.require_all_answered()


def _frames_to_look_at(frames: Source, every: int, limit: int | None) -> int | None:
    """For the progress bar; None for an endless source. Of a folder those that are passed over are not counted."""
    count = frames.frame_count
    if count is None:
        return limit
    if not isinstance(frames, PictureSource):
        count = -(-count // every)
    return count if limit is None else min(limit, count)


@contextlib.contextmanager
def _metrics_served(metrics: ClientMetrics, port: int | None) -> Iterator[None]:
    """Serve the metrics while the block lasts, if a port was given."""
    if port is None:
        yield
        return
    with MetricsEndpoint(metrics.registry, port=port) as endpoint:
        tell(f"metrics at {endpoint.url}")
        yield


@contextlib.contextmanager
def _server(
    url: str | None,
    repository: Path,
    variant: str | None,
    model: str | None,
    frame_wh: tuple[int, int] | None,
    with_models: tuple[str, ...],
) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """The gRPC and HTTP addresses of the server given, else of one of our own that serves just what was chosen.

    Then the full names of what was chosen, the first one first; () with a server that was given.
    """
    if url is not None:
        yield url, None, ()
        return
    from photofinish.export.publishing.cards import card_from_directory
    from photofinish.server.triton.embedded import EmbeddedServer
    from photofinish.server.triton.run_folder import models_in

    cards = {name: card_from_directory(repository / name) for name in models_in(repository)}
    where = str(repository)
    names = choose_models(cards, variant, with_models, where=where, model=model, frame_wh=frame_wh, on_notice=tell)
    with EmbeddedServer(repository, models=names, on_progress=tell) as server:
        yield server.endpoint.grpc_url, server.endpoint.http_url, names
