"""Two models on one picture: each alone, one after the other, and together, in turn.

    photofinish export --weights demo --repository several/models --variant openvino_int8
    photofinish export --weights yolov8n-pose.pt --repository several/models --variant openvino_fp32 --frames photos/
    python -m experiments.models.several --repository several/models --with yolov8n-pose --out several.json

Both models are served by one embedded server, and one picture at a time is asked for, so that no arm hides its time
behind another picture. `one after the other` is what a program does that has two detectors: each prepares the picture
and asks for itself. `together` is what `detect --with` does. All take turns in rounds, every second one backwards.
The ratio is that of the medians; its range is that of the rounds' own ratios. On a GPU: the same with its variants.

Backs: docs/several.md, "measures both models on one picture against one after the other"
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.camera_speed import percentile_ms
from photofinish.client.pipeline.joint import JointPipeline
from photofinish.client.pipeline.opening import choose_models
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.sources.opening import open_source
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.percentiles import nearest_rank
from photofinish.perf.formatting import MISSING
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.server.triton.embedded import EmbeddedServer

SCHEMA_VERSION = 1
FIRST, SECOND, IN_TURN, TOGETHER = "first alone", "second alone", "one after the other", "together"
WARM_UPS = 10
PICTURES = 16
Look = Callable[[Frame], Mapping[str, int]]
"""Looks at one picture; what took how long, in nanoseconds, "" for the whole."""


def arms(url: str, http_url: str, names: tuple[str, str], stack: contextlib.ExitStack) -> dict[str, Look]:
    """The four ways, connected."""

    def alone(name: str) -> OptimisedPipeline:
        return stack.enter_context(OptimisedPipeline(url, name, http_url=http_url, max_in_flight=1))

    first, second = alone(names[0]), alone(names[1])
    joint = stack.enter_context(JointPipeline(url, names, http_url=http_url, max_in_flight=1))

    def together(frame: Frame) -> Mapping[str, int]:
        result = joint.process(frame)
        for part in result.parts:
            if part.problem:
                raise SystemExit(part.problem)
        return {"": result.service_ns, **{part.variant: part.took_ns for part in result.parts}}

    return {
        FIRST: lambda frame: {"": first.process(frame).service_ns},
        SECOND: lambda frame: {"": second.process(frame).service_ns},
        IN_TURN: lambda frame: {"": first.process(frame).service_ns + second.process(frame).service_ns},
        TOGETHER: together,
    }


def measure(
    ways: Mapping[str, Look],
    frames: Sequence[Frame],
    *,
    seconds: float,
    rounds: int,
    on_progress: Callable[[str], None],
) -> dict[str, list[dict[str, list[int]]]]:
    """For each way its rounds, each with the times of all pictures."""
    measured: dict[str, list[dict[str, list[int]]]] = {name: [] for name in ways}
    for way in ways.values():
        for frame in itertools.islice(itertools.cycle(frames), WARM_UPS):
            way(frame)
    for number in range(rounds):
        on_progress(f"round {number + 1} of {rounds}")
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            times: dict[str, list[int]] = {}
            until = time.monotonic() + seconds
            for frame in itertools.cycle(frames):
                for what, took_ns in ways[name](frame).items():
                    times.setdefault(what, []).append(took_ns)
                if time.monotonic() >= until:
                    break
            measured[name].append(times)
    return measured


def ratios(measured: Mapping[str, list[dict[str, list[int]]]], over: Sequence[str]) -> list[float]:
    """The median of `together` by the sum of the medians of `over`: of all rounds, then of each."""

    def ratio(rounds: slice) -> float:
        below = sum(_median(_times(measured[name][rounds])) for name in over)
        return _median(_times(measured[TOGETHER][rounds])) / below

    count = len(measured[TOGETHER])
    return [ratio(slice(None)), *(ratio(slice(number, number + 1)) for number in range(count))]


def table_from_record(record: Mapping[str, Any]) -> str:
    """The ways, each part of `together`, and what it takes of the others, as Markdown."""
    measured, names = record["rounds_ns"], record["variants"]
    lines = ["| way | P50 (ms) | P95 (ms) | pictures |", "| --- | ---: | ---: | ---: |"]
    rows = [(name, _times(rounds)) for name, rounds in measured.items()]
    rows += [(f"{TOGETHER}, {name}", _times(measured[TOGETHER], name)) for name in names]
    for name, times_ns in rows:
        shown = (percentile_ms(times_ns, share) for share in (0.5, 0.95))
        lines.append(
            f"| {name} | {' | '.join(MISSING if ms is None else f'{ms:.3g}' for ms in shown)} | {len(times_ns)} |"
        )
    for what, over in (("both alone", (FIRST, SECOND)), (IN_TURN, (IN_TURN,))):
        whole, *each = ratios(measured, over)
        lines.append(f"\nTogether by {what}: {whole:.3f} (rounds {min(each):.3f} to {max(each):.3f})")
    return "\n".join(lines)


def _times(rounds: Sequence[Mapping[str, list[int]]], what: str = "") -> list[int]:
    return [time_ns for times in rounds for time_ns in times[what]]


def _median(times_ns: Sequence[int]) -> float:
    return nearest_rank(np.array(times_ns, np.int64), 0.5)


def main() -> None:
    """Measure, write the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--variant", help="of the first model; default: the best of the model exported last")
    parser.add_argument("--with", dest="beside", required=True, help="the second model, or a variant of it")
    parser.add_argument("--source", default="synthetic", help="where the pictures come from")
    parser.add_argument("--seconds", type=float, default=3.0, help="per way and round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(options.source))
        frames = list(itertools.islice(source.frames(), PICTURES))
        cards, names = chosen(options, source.size_wh)
        server = stack.enter_context(EmbeddedServer(options.repository, models=names))
        url, http_url = server.endpoint.grpc_url, server.endpoint.http_url
        measured = measure(
            arms(url, http_url, names, stack),
            frames,
            seconds=options.seconds,
            rounds=options.rounds,
            on_progress=lambda line: click.echo(line, err=True),
        )
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.models.several",
        "created_utc": utc_now(),
        "environment": environment_fingerprint(None, server={"kind": "embedded", "version": "2.51.0"}),
        "variants": list(names),
        "inputs_wh": [list(card.input_wh) for name in names if (card := cards[name])],
        "pictures_wh": list(frames[0].size_wh),
        "together_by_both_alone": ratios(measured, (FIRST, SECOND)),
        "together_by_one_after_the_other": ratios(measured, (IN_TURN,)),
        "rounds_ns": measured,
    }
    if options.out:
        options.out.write_text(json.dumps(record), encoding="utf-8")
    click.echo(table_from_record(record))


def chosen(
    options: argparse.Namespace, frame_wh: tuple[int, int] | None
) -> tuple[dict[str, ModelCard | None], tuple[str, str]]:
    """The repository's cards and the two variants; nothing else is loaded beside them."""
    from photofinish.export.publishing.cards import card_from_directory
    from photofinish.server.triton.run_folder import models_in

    cards = {name: card_from_directory(options.repository / name) for name in models_in(options.repository)}
    where = str(options.repository)
    first, second = choose_models(
        cards,
        options.variant,
        [options.beside],
        where=where,
        frame_wh=frame_wh,
        on_notice=lambda line: click.echo(line, err=True),
    )
    return cards, (first, second)


if __name__ == "__main__":
    main()
