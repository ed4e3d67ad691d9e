"""Networks of different sizes in turn: each one's bare engine, and one picture at a time through the server.

    python -m experiments.models.network_speed --repository models --out speed.json \\
        demo_traffic_openvino_fp32 demo_traffic-512_openvino_fp32 demo_traffic-pruned30_openvino_fp32

A run of `photofinish perf` keeps to one network, so it compares no pruned one with the unpruned one at a smaller input.
Here all take turns in rounds, every second one backwards: the engine alone in this process, then read from a camera,
letterboxed, asked for and decoded by the optimised client, one picture in flight, so that the time of a picture hides
behind no other. The first variant is what the others are compared with: its median by theirs, of all rounds, and from
the least to the most of the rounds' own.

Backs: docs/accuracy.md, "What pruning buys on the demo detector"
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.models.several import PICTURES, Look, measure
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.sources.opening import open_source
from photofinish.export.publishing.cards import card_from_directory
from photofinish.frame import Frame
from photofinish.model_card import ModelCard
from photofinish.percentiles import nearest_rank
from photofinish.perf.engine.loops import Artifact, Loop, loop_from_artifact
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.server.triton.embedded import EmbeddedServer
from photofinish.server.triton.run_folder import BACKEND

SCHEMA_VERSION = 1
ENGINE, SERVED = "engine", "served"


def arms(
    repository: Path, cards: Mapping[str, ModelCard], url: str, http_url: str, stack: contextlib.ExitStack
) -> dict[str, Look]:
    """Both ways of every variant, connected: "engine NAME" and "served NAME"."""
    ways: dict[str, Look] = {}
    for name, card in cards.items():
        artifact = Artifact(card=card, directory=repository / name / "1", backend_package=BACKEND)
        ways[f"{ENGINE} {name}"] = _bare(loop_from_artifact(artifact, 1, 0))
        pipeline = stack.enter_context(OptimisedPipeline(url, name, http_url=http_url, max_in_flight=1))
        ways[f"{SERVED} {name}"] = _served(pipeline)
    return ways


def _bare(loop: Loop) -> Look:
    def look(frame: Frame) -> Mapping[str, int]:
        began = time.perf_counter_ns()
        loop()
        return {"": time.perf_counter_ns() - began}

    return look


def _served(pipeline: OptimisedPipeline) -> Look:
    return lambda frame: {"": pipeline.process(frame).service_ns}


def rows_from_rounds(rounds_ns: Mapping[str, Sequence[Mapping[str, list[int]]]]) -> list[dict[str, Any]]:
    """For each variant and way: the median time, and how many times as fast as the first variant that is."""
    rows, first = [], {way: next(name for name in rounds_ns if name.startswith(way)) for way in (ENGINE, SERVED)}
    for arm, rounds in rounds_ns.items():
        way, _, name = arm.partition(" ")
        against = rounds_ns[first[way]]
        each = [_median([one]) / _median([other]) for one, other in zip(against, rounds, strict=True)]
        rows.append(
            {
                "variant": name,
                "way": way,
                "p50_ms": _median(rounds) / 1e6,
                "times": _median(against) / _median(rounds),
                "times_least": min(each),
                "times_most": max(each),
                "pictures": sum(len(item[""]) for item in rounds),
            }
        )
    return rows


def table_from_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| variant | way | P50 (ms) | times as fast (rounds) | pictures |", "| --- | --- | ---: | ---: | ---: |"]
    for row in rows:
        span = f"{row['times']:.2f} ({row['times_least']:.2f} to {row['times_most']:.2f})"
        lines.append(f"| {row['variant']} | {row['way']} | {row['p50_ms']:.3g} | {span} | {row['pictures']} |")
    return "\n".join(lines)


def _median(rounds: Sequence[Mapping[str, list[int]]]) -> float:
    return nearest_rank(np.array([time_ns for times in rounds for time_ns in times[""]], np.int64), 0.5)


def main() -> None:
    """Measure, write the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", help="directories of the repository, the one to compare with first")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--source", default="synthetic", help="where the pictures come from")
    parser.add_argument("--seconds", type=float, default=2.0, help="per variant, way and round")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cards = {}
    for name in options.variants:
        card = card_from_directory(options.repository / name)
        if card is None:
            raise SystemExit(f"{options.repository / name} is no variant of Photofinish; export it, or leave it out")
        cards[name] = card
    before = environment_fingerprint(None, server={"kind": "embedded", "version": "2.51.0"})
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(options.source))
        frames = list(itertools.islice(source.frames(), PICTURES))
        server = stack.enter_context(EmbeddedServer(options.repository, models=tuple(cards)))
        rounds_ns = measure(
            arms(options.repository, cards, server.endpoint.grpc_url, server.endpoint.http_url, stack),
            frames,
            seconds=options.seconds,
            rounds=options.rounds,
            on_progress=lambda line: click.echo(line, err=True),
        )
    rows = rows_from_rounds(rounds_ns)
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.models.network_speed",
        "created_utc": utc_now(),
        "environment": before,
        "seconds": options.seconds,
        "pictures_wh": list(frames[0].size_wh),
        "networks": {
            name: {"input_wh": list(card.input_wh), "weights_changed": card.weights_changed}
            for name, card in cards.items()
        },
        "rows": rows,
        "rounds_ns": rounds_ns,
    }
    if options.out:
        options.out.write_text(json.dumps(record) + "\n", encoding="utf-8")
    click.echo(table_from_rows(rows))


if __name__ == "__main__":
    main()
