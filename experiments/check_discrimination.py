"""Does the comparison tell a difference from none? Twenty A/A comparisons, and twenty with a 10 % slow-down.

    python -m experiments.check_discrimination                   a synthetic sender with a machine's kind of noise
    python -m experiments.check_discrimination --url HOST:PORT   the real thing: one served variant against itself
    python -m experiments.check_discrimination --repository DIR  the same with the embedded server, started for it

The slow-down is real waiting after each request, a tenth of the time that this request took. A/A and slow-down take
turns, so that both meet the same machine.

Backs: docs/benchmarking-method.md, "A busy machine costs power, not honesty."
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from experiments.simulated_machine import simulated_coverage
from photofinish.client.pipeline.opening import OptimisedPipeline
from photofinish.errors import ConfigError
from photofinish.flows.bench import models_named
from photofinish.machine.gpu import load_nvml
from photofinish.perf.formatting import interval_text
from photofinish.perf.judge.summary import ArmSummary, summaries_from_section
from photofinish.perf.load.loops import Sender
from photofinish.perf.load.senders import frame_sender
from photofinish.perf.measure.bench import frames_from_source, served_models
from photofinish.perf.measure.comparison import contender_from_sender, run_comparison
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.perf.record.record import Arm, Load, Section
from photofinish.perf.record.samples import NS_PER_MS
from photofinish.perf.statistics import Interval
from photofinish.server.triton.embedded import EmbeddedServer

SLOW_DOWN = 0.10
_DRIFT_S = 2.0
_DRIFT_SHARE = 0.05
"""The synthetic machine's speed wanders by about this share, over about these seconds."""
KINDS = ("same", "slower")
STATISTIC_KEYS = ("p50", "mean", "p95", "frames_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonTally:
    """How often the interval held 1, and how often it lay wholly below it (a slow-down was found), per statistic.

    gains: every run's estimate, low and high end, the evidence. median_ms: the first side's P50 in every run.
    """

    runs: int
    held_one: dict[str, int]
    found_slower: dict[str, int]
    refused: dict[str, int]
    gains: dict[str, list[list[float] | None]]
    median_ms: list[float | None]


def noisy_sender(seed: int, *, median_s: float = 0.004) -> Sender:
    """Waits as a server on a busy machine does: skewed service times, drift over seconds, bursts now and then.

    Both sides of a comparison get the same one: drift belongs to the machine, not to a side. It sleeps in real time.
    """
    generator = np.random.default_rng(seed)
    drift, drifted_at = 0.0, time.perf_counter()

    def send(index: int) -> None:
        nonlocal drift, drifted_at
        now = time.perf_counter()
        kept = math.exp(-(now - drifted_at) / _DRIFT_S)
        drift = kept * drift + generator.normal(0, _DRIFT_SHARE * math.sqrt(1 - kept**2))
        drifted_at = now
        service_s = median_s * math.exp(drift + generator.normal(0, 0.08))
        if generator.random() < 0.01:
            service_s += float(generator.exponential(median_s))
        _wait(service_s)

    return send


def slowed(sender: Sender, share: float = SLOW_DOWN) -> Sender:
    """The same sender, each request longer by that share of its own time, in real waiting."""

    def send(index: int) -> None:
        began = time.perf_counter()
        sender(index)
        _wait(share * (time.perf_counter() - began))

    return send


def compare_once(first: Sender, second: Sender, *, rounds: int, block_s: float, seed: int) -> Section:
    """One comparison of two senders, as `photofinish perf comparison` makes it."""
    load = Load(mode="closed", block_s=block_s, rounds=rounds, seed=seed)
    arms = (Arm(key="a", label="A", model=""), Arm(key="b", label="B", model=""))
    return run_comparison(
        [contender_from_sender(arm, sender, load) for arm, sender in zip(arms, (first, second), strict=True)],
        load=load,
    )


def tally_from_sections(sections: Sequence[Section]) -> ComparisonTally:
    """What the intervals of these comparisons said."""
    summaries = [summaries_from_section(section) for section in sections]
    gains: dict[str, list[Interval | None]] = {
        key: [second.gain(key) for _, second in summaries] for key in STATISTIC_KEYS
    }
    return ComparisonTally(
        runs=len(sections),
        held_one={key: sum(item is not None and item.holds(1.0) for item in found) for key, found in gains.items()},
        found_slower={key: sum(item is not None and item.high < 1.0 for item in found) for key, found in gains.items()},
        refused={key: sum(item is None for item in found) for key, found in gains.items()},
        gains={
            key: [
                [round(value, 4) for value in (item.estimate, item.low, item.high)] if item else None for item in found
            ]
            for key, found in gains.items()
        },
        median_ms=[_median_ms(first) for first, _ in summaries],
    )


def _median_ms(summary: ArmSummary) -> float | None:
    median_ns = summary.latency["p50"]
    return None if median_ns is None else round(median_ns / NS_PER_MS, 3)


def check_discrimination(
    make_sender: Callable[[int], Sender],
    *,
    runs: int,
    rounds: int,
    block_s: float,
    on_progress: Callable[[str], None],
    kinds: Sequence[str] = KINDS,
) -> dict[str, ComparisonTally]:
    """The tallies of `runs` A/A comparisons and of `runs` comparisons with B a tenth slower, taken in turn.

    kinds: which of the two are made.
    """
    sections: dict[str, list[Section]] = {kind: [] for kind in kinds}
    for run in range(runs):
        for name, done in sections.items():
            sender = make_sender(run + 1)
            second = slowed(sender) if name == "slower" else sender
            done.append(compare_once(sender, second, rounds=rounds, block_s=block_s, seed=run))
            gain = summaries_from_section(done[-1])[1].gain("p50")
            on_progress(f"{name} {run + 1} of {runs}: P50 {interval_text(gain)}")
    return {name: tally_from_sections(done) for name, done in sections.items()}


@contextmanager
def served_sender(url: str, variant: str, source: str) -> Iterator[Callable[[int], Sender]]:
    """Makes senders of whole frames to one served variant; all share one pipeline."""
    models = served_models(url, (variant,) if variant else ())
    chosen = next((model for model in reversed(models) if model.require_card().contract == "frames"), None)
    if chosen is None:
        raise ConfigError(f"no variant in the frames contract is served at {url}; run `photofinish export`")
    frames = frames_from_source(source)
    with OptimisedPipeline(url, chosen.name, max_in_flight=1) as pipeline:
        yield lambda seed: frame_sender(pipeline, frames)


def _wait(seconds: float) -> None:
    """Sleep most of it, spin the rest: a slow-down of 0.4 ms must be 0.4 ms."""
    end = time.perf_counter() + seconds
    if seconds > 0.0005:
        time.sleep(seconds - 0.0003)
    while time.perf_counter() < end:
        pass


@click.command()
@click.option("--url", help="A running server; without it a synthetic sender.")
@click.option("--repository", type=click.Path(path_type=Path), help="Serve this one; in place of --url.")
@click.option("--only", type=click.Choice(KINDS), help="Only comparisons of this kind.")
@click.option("--variant", default="", help="Which variant; default: one in the frames contract.")
@click.option("--source", default="synthetic", show_default=True)
@click.option("--runs", default=20, show_default=True)
@click.option("--rounds", default=20, show_default=True)
@click.option("--seconds", default=0.3, show_default=True, help="One block's length.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the tallies as JSON.")
@click.option("--simulate", type=int, help="Only the interval's coverage over this many simulated A/A comparisons.")
def main(
    url: str | None,
    repository: Path | None,
    only: str | None,
    variant: str,
    source: str,
    runs: int,
    rounds: int,
    seconds: float,
    out: Path | None,
    simulate: int | None,
) -> None:
    """Twenty comparisons of a thing with itself, twenty with it a tenth slower."""
    if simulate:
        click.echo(json.dumps(simulated_coverage(simulate, rounds=rounds, block_s=seconds)))
        return

    def progress(line: str) -> None:
        click.echo(line, err=True)

    def check(make_sender: Callable[[int], Sender]) -> dict[str, ComparisonTally]:
        kinds = (only,) if only else KINDS
        return check_discrimination(
            make_sender, runs=runs, rounds=rounds, block_s=seconds, on_progress=progress, kinds=kinds
        )

    server = {"kind": "external" if url else "none", "version": ""}
    with ExitStack() as stack:
        if repository:
            names = models_named(repository, (variant,)) if variant else ()
            running = stack.enter_context(EmbeddedServer(repository, models=names, on_progress=progress))
            url, server = (
                running.endpoint.grpc_url,
                {"kind": running.endpoint.kind, "version": running.endpoint.version},
            )
        make_sender = stack.enter_context(served_sender(url, variant, source)) if url else noisy_sender
        environment = environment_fingerprint(load_nvml(), server=server)
        tallies = check(make_sender)
    values = {
        "created_utc": utc_now(),
        "command": ["python", "-m", "experiments.check_discrimination", *sys.argv[1:]],
        "slow_down": SLOW_DOWN,
        "environment": environment,
        "load_average_after": os.getloadavg()[0],
        **{name: asdict(tally) for name, tally in tallies.items()},
    }
    text = json.dumps(values, indent=1)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
