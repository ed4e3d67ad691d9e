"""What `photofinish detect` does: source, server, pipeline and printing put together."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from photofinish.client.choosing.crops import CROP_LIMIT, CROP_SIDE, CropChoice, choose_crops, crop_choice_from_text
from photofinish.client.detect.detecting import DetectSummary, detect_in_source, summary_of_all
from photofinish.client.detect.parts import SourcePart, frames_to_look_at, looked_over, specs_in
from photofinish.client.detect.telling import json_from_result, text_from_result
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.metrics import ClientMetrics, MetricsEndpoint
from photofinish.client.pipeline.opening import choose_models, open_pipeline
from photofinish.client.sources.opening import Source, open_source
from photofinish.client.triton.transport import TransportChoice
from photofinish.errors import SourceError
from photofinish.flows import tell
from photofinish.flows.showing.toy import warn_of_demo_detector


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
    crops: tuple[str, ...] = (),
    crop_limit: int = CROP_LIMIT,
    crop_side: int = CROP_SIDE,
    crop_margin: float = 0.0,
) -> None:
    """Detect in a source: lines on stdout, progress and a summary on stderr. Without url a server is started.

    A folder's videos are looked at one after the other behind its pictures. The summary comes however the run ends,
    Ctrl-C and errors included; of several sources each has one, and all together.
    with_text, every: as in `detect_in_source`. with_models: further models that look at each picture, as
    `choose_beside` takes them. crops: models that look at the first one's boxes, each `MODEL[:CLASS,CLASS…]`, at most
    crop_limit of a picture, none with a side under crop_side pixels, each larger by crop_margin of its size at
    each side.
    Raises SourceError at the end when pictures or videos had to be skipped, and at the first of them when `strict`; at
    the end, too, InferenceError when one of several models left frames without an answer.
    """
    metrics = ClientMetrics()
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    line_from_result = functools.partial(json_from_result, ascii_only=not is_utf8) if as_json else text_from_result
    choices = tuple(
        crop_choice_from_text(text, limit=crop_limit, min_side=crop_side, margin=crop_margin) for text in crops
    )
    bad: list[str] = []

    def note_bad(exc: SourceError, what: str = "") -> None:
        bad.append(str(exc))
        tell(f"{what}{exc}")

    opened = functools.partial(open_source, strict=strict, every=every, on_notice=tell)
    with _metrics_served(metrics, metrics_port), contextlib.ExitStack() as stack:
        specs = specs_in(source)
        is_one = len(specs) == 1
        if is_one:
            first = stack.enter_context(opened(source))
            parts = [
                SourcePart(spec=source, frame_count=frames_to_look_at(first, every, frame_limit), size_wh=first.size_wh)
            ]
        else:
            parts = looked_over(specs, every=every, strict=strict, on_bad=lambda exc: note_bad(exc, "skipped: "))
        size_wh = parts[0].size_wh if len({part.size_wh for part in parts}) == 1 else None
        address, http_url, names, choices = stack.enter_context(
            _server(url, repository, variant, model, size_wh, with_models, choices)
        )
        total = _sum_of([part.frame_count for part in parts], frame_limit)
        progress = stack.enter_context(tqdm(total=total, unit="frame", disable=None, file=sys.stderr))
        summaries: list[DetectSummary] = []

        def end(summary: DetectSummary, name: str) -> None:
            summaries.append(summary)
            if is_one:
                progress.close()
                tell(summary.sentence())
                return
            progress.clear()
            tell(f"{name}: {summary.sentence()}")

        def detect_part(frames: Source, *, is_first: bool, limit: int | None) -> None:
            pipeline = open_pipeline(
                address,
                names[0] if names else variant,
                with_models=names[1:] if names else with_models,
                crops=choices,
                model=model,
                frame_wh=size_wh,
                http_url=http_url,
                transport=transport,
                drop_late=frames.is_live,
                min_confidence=confidence,
                timeout_s=timeout_s,
                on_notice=tell if is_first else lambda text: None,
                metrics=metrics,
            )
            with pipeline:
                told = "" if total is None else f", {total} frames to look at"
                if is_first:
                    served = " and ".join(model.name for model in pipeline.models)
                    tell(f"{served} at {address}, pictures by {pipeline.transport}{told}")
                    warn_of_demo_detector(source, [model.card for model in pipeline.models])

                def report(result: FrameResult, name: str) -> None:
                    progress.update()
                    tqdm.write(line_from_result(result, name, pipeline.card.class_names), file=sys.stdout)

                detect_in_source(
                    frames,
                    pipeline,
                    save_folder=save_folder,
                    with_text=with_text,
                    every=every,
                    frame_limit=limit,
                    on_result=report,
                    on_notice=tell,
                    on_end=lambda summary: end(summary, frames.name),
                )

        if is_one:
            detect_part(first, is_first=True, limit=frame_limit)
            first.require_all_read()
            summaries[0].require_all_answered()
            return
        try:
            for number, part in enumerate(parts):
                left = None if frame_limit is None else frame_limit - sum(item.frame_count for item in summaries)
                if left == 0:
                    break
                try:
                    with opened(part.spec) as frames:
                        progress.set_description(frames.name)
                        detect_part(frames, is_first=number == 0, limit=left)
                        frames.require_all_read()
                except SourceError as exc:
                    if strict:
                        raise
                    note_bad(exc)
                rest = _sum_of([item.frame_count for item in parts[number + 1 :]], None)
                progress.total = None if rest is None else _sum_of([progress.n + rest], frame_limit)
        finally:
            progress.close()
            all_of_it = summary_of_all(summaries, save_folder)
            tell(f"{source}, {len(summaries)} of {len(specs)} parts: {all_of_it.sentence()}")
        if bad:
            raise SourceError(f"not all of {source} could be read; {len(bad)} of its parts, the first: {bad[0]}")
        for summary in summaries:
            summary.require_all_answered()


def _sum_of(counts: list[int | None], limit: int | None) -> int | None:
    """All together, `limit` at most; None where one is unknown."""
    if None in counts:
        return limit
    total = sum(count for count in counts if count is not None)
    return total if limit is None else min(total, limit)


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
    crops: tuple[CropChoice, ...],
) -> Iterator[tuple[str, str | None, tuple[str, ...], tuple[CropChoice, ...]]]:
    """The gRPC and HTTP addresses of the server given, else of one of our own that serves just what was chosen.

    Then the full names of what was chosen, the first one first, and `crops` with full names; () and as they were given
    with a server that was given.
    """
    if url is not None:
        yield url, None, (), crops
        return
    from photofinish.export.publishing.cards import card_from_directory, require_model, require_readable
    from photofinish.server.triton.embedded import EmbeddedServer
    from photofinish.server.triton.run_folder import models_in

    cards = {name: card_from_directory(repository / name) for name in models_in(repository)}
    where = str(repository)
    require_model(repository, cards, model)
    names = choose_models(
        cards, variant, with_models, where=where, model=model, frame_wh=frame_wh, crops=crops, on_notice=tell
    )
    chosen = choose_crops(cards, names, crops, where=where)
    served = (*names, *(choice.model for choice in chosen))
    require_readable(repository, served)
    with EmbeddedServer(repository, models=served, on_progress=tell) as server:
        yield server.endpoint.grpc_url, server.endpoint.http_url, names, chosen
