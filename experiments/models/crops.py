"""A second model on the boxes of a first one: `detect --crops` against the two stages one after the other by hand.

    photofinish export --weights yolov8n-pose.pt --repository crops/models --variant openvino_fp32 --frames photos/
    photofinish export --weights yunet_n_640_640.onnx --repository crops/models --variant openvino_fp32 --frames photos/
    python -m experiments.models.crops --repository crops/models --crops yunet_n_640_640 --source photos/ --out r.json

Both models are served by one embedded server, and one picture at a time is looked at. `by hand` is what a program does
that has two detectors: it asks the first one for the picture, cuts each box out, and asks the second one for each crop
as for any picture, one after the other. `--crops` sends the crops of a picture as suits the second model's device, and
in another way in batches of 8. All look at the same boxes. All ways take turns at every picture, every second time
backwards, so that other work on the machine meets them alike. The ratio is the median of the pairs, each of one picture
by two ways; its range holds half of the pairs. Pictures without a box to cut out are left out. On a GPU: the same with
its variants.

Backs: docs/several.md, "measures crops against the two stages by hand"
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.camera_speed import percentile_ms
from experiments.models.several import PICTURES, SCHEMA_VERSION, Look
from photofinish.client.choosing.crops import CropChoice, choose_crops, crop_choice_from_text
from photofinish.client.pipeline.cropping import chosen_boxes, crop_corner_and_pixels
from photofinish.client.pipeline.opening import StagedPipeline, choose_models
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.sources.opening import open_source
from photofinish.frame import Frame
from photofinish.percentiles import nearest_rank
from photofinish.perf.formatting import MISSING
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.server.triton.embedded import EmbeddedServer

FIRST, BY_HAND, CROPS, BATCHES = "first alone", "by hand", "--crops", "--crops in batches"
BATCH = 8
CROP_COUNT = "crops of a picture"
WARM_UPS = 2
"""Passes that do not count: each number of crops is a shape that an engine meets for the first time."""


def arms(url: str, http_url: str, first: str, choice: CropChoice, stack: contextlib.ExitStack) -> dict[str, Look]:
    """The four ways, connected; each tells its time and, under names of their own, what is part of it."""

    def alone(name: str) -> OptimisedPipeline:
        return stack.enter_context(OptimisedPipeline(url, name, http_url=http_url, max_in_flight=1))

    whole, second = alone(first), alone(choice.model)

    def staged(batch: int | None) -> StagedPipeline:
        made = StagedPipeline(url, [first], [choice], http_url=http_url, max_in_flight=1, crop_batch=batch)
        return stack.enter_context(made)

    as_suits, in_batches = staged(None), staged(BATCH)

    def by_hand(frame: Frame) -> Mapping[str, int]:
        begun_ns = time.perf_counter_ns()
        result = whole.process(frame)
        numbers = chosen_boxes(result.detections, choice, whole.card.class_names).numbers
        for number in numbers.tolist():
            _, pixels = crop_corner_and_pixels(frame.image_hwc_bgr, result.detections.boxes_xyxy[number])
            second.process(Frame(image_hwc_bgr=pixels, stream_id="crop", index=number, captured_ns=frame.captured_ns))
        taken_ns = time.perf_counter_ns() - begun_ns
        return {"": taken_ns, "second stage": taken_ns - result.service_ns, CROP_COUNT: len(numbers)}

    def crops(pipeline: StagedPipeline, frame: Frame) -> Mapping[str, int]:
        result = pipeline.process(frame)
        part = result.parts[-1]
        if part.problem or part.crops is None:
            raise SystemExit(part.problem)
        return {
            "": result.service_ns,
            "second stage": result.crops_ns,
            "cutting": part.crops.prepare_ns,
            CROP_COUNT: len(part.crops.looked_at),
        }

    return {
        FIRST: lambda frame: {"": whole.process(frame).service_ns},
        BY_HAND: by_hand,
        CROPS: functools.partial(crops, as_suits),
        BATCHES: functools.partial(crops, in_batches),
    }


def measure_in_turn(
    ways: Mapping[str, Look], frames: Sequence[Frame], *, passes: int, on_progress: Callable[[str], None]
) -> dict[str, dict[str, list[int]]]:
    """For each way the times of all pictures, pass after pass; those of one place are of one picture."""
    measured: dict[str, dict[str, list[int]]] = {name: {} for name in ways}
    for number in range(-WARM_UPS, passes):
        if number >= 0:
            on_progress(f"pass {number + 1} of {passes}")
        for place, frame in enumerate(frames):
            for name in list(ways)[:: 1 if (number + place) % 2 == 0 else -1]:
                for what, took_ns in ways[name](frame).items():
                    if number >= 0:
                        measured[name].setdefault(what, []).append(took_ns)
    return measured


def ratio(measured: Mapping[str, Mapping[str, list[int]]], way: str, what: str = "") -> list[float]:
    """A way by `by hand`: the median of the pairs, and between what half of them lie. what: the whole, or a part."""
    crops, hand = (np.array(measured[name][what], np.float64) for name in (way, BY_HAND))
    return [nearest_rank(crops / hand, share) for share in (0.5, 0.25, 0.75)]


def table_from_record(record: Mapping[str, Any]) -> str:
    """The ways and their parts, and what crops take of the way by hand, as Markdown."""
    lines = ["| way | P50 (ms) | P95 (ms) | pictures |", "| --- | ---: | ---: | ---: |"]
    for name, times in record["times_ns"].items():
        for what, times_ns in times.items():
            if what == CROP_COUNT:
                continue
            shown = (percentile_ms(times_ns, share) for share in (0.5, 0.95))
            told = " | ".join(MISSING if ms is None else f"{ms:.3g}" for ms in shown)
            lines.append(f"| {name}{f', {what}' if what else ''} | {told} | {len(times_ns)} |")
    lines.append(f"\nCrops of a picture: {record['crops_mean']:.3g} on average, {record['crops_most']} at most")
    for row in record["by_hand"]:
        lines.append(
            f"\n{row['name']} by by hand: {row['median']:.3f} (half of the pairs {row['low']:.3f} to {row['high']:.3f})"
        )
    return "\n".join(lines)


def record_from_times(measured: Mapping[str, Mapping[str, list[int]]], about: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept: all times, their medians and ratios, and `about`."""
    counts = measured[CROPS][CROP_COUNT]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.models.crops",
        "created_utc": utc_now(),
        **about,
        "crops_mean": float(np.mean(counts)),
        "crops_most": int(max(counts)),
        "p50": [
            {"name": f"{name} {what}".strip(), "ms": nearest_rank(np.array(times_ns, np.int64), 0.5) / 1e6}
            for name, times in measured.items()
            for what, times_ns in times.items()
            if what != CROP_COUNT
        ],
        "by_hand": [
            {"name": way + (f", {what}" if what else ""), **dict(zip(("median", "low", "high"), found, strict=True))}
            for way in (CROPS, BATCHES)
            for what in ("", "second stage")
            if (found := ratio(measured, way, what))
        ],
        "times_ns": measured,
    }


def main() -> None:
    """Measure, write the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--variant", help="of the first model; default: the best of the model exported last")
    parser.add_argument("--crops", required=True, help="MODEL[:CLASS,CLASS…], as photofinish detect takes it")
    parser.add_argument("--source", required=True, help="where the pictures come from")
    parser.add_argument("--every", type=int, default=1, help="each so many-th picture only")
    parser.add_argument("--passes", type=int, default=20, help="over all pictures")
    parser.add_argument("--note", default="", help="what else is to know, such as a busy machine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from photofinish.export.publishing.cards import card_from_directory
    from photofinish.server.triton.run_folder import models_in

    cards = {name: card_from_directory(options.repository / name) for name in models_in(options.repository)}
    where = str(options.repository)
    wanted = [crop_choice_from_text(options.crops)]
    names = choose_models(cards, options.variant, (), where=where, crops=wanted)
    (choice,) = choose_crops(cards, names, wanted, where=where)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(options.source))
        frames = list(itertools.islice(source.frames(), 0, PICTURES * options.every, options.every))
        server = stack.enter_context(EmbeddedServer(options.repository, models=(*names, choice.model)))
        ways = arms(server.endpoint.grpc_url, server.endpoint.http_url or "", names[0], choice, stack)
        frames = [frame for frame in frames if ways[CROPS](frame)[CROP_COUNT]]
        if not frames:
            raise SystemExit(f"no picture of {options.source} has a box to cut out; give others")
        measured = measure_in_turn(
            ways, frames, passes=options.passes, on_progress=lambda line: click.echo(line, err=True)
        )
    about = {
        "note": options.note,
        "environment": environment_fingerprint(None, server={"kind": "embedded", "version": "2.51.0"}),
        "variants": [names[0], choice.model],
        "classes": list(choice.classes),
        "pictures": len(frames),
        "pictures_wh": [list(size) for size in sorted({frame.size_wh for frame in frames})],
    }
    record = record_from_times(measured, about)
    if options.out:
        options.out.write_text(json.dumps(record), encoding="utf-8")
    click.echo(table_from_record(record))


if __name__ == "__main__":
    main()
