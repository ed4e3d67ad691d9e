"""Does the comparison tell a difference from none? Twenty A/A comparisons, and twenty with a 10 % slow-down.

    python -m perf.check_discrimination                   a synthetic sender with a machine's kind of noise
    python -m perf.check_discrimination --url HOST:PORT   the real thing: one served variant against itself

The slow-down is real waiting after each request, a tenth of the median that a first closed loop measured.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from client.pipelines import OptimisedPipeline
from perf.bench import frames_from_source, served_models
from perf.comparison import contender_from_sender, run_comparison
from perf.environment import environment_fingerprint, utc_now
from perf.load import Sender, run_closed_loop
from perf.record import Arm, Load, Section
from perf.schedule import block_order
from perf.senders import frame_sender
from perf.statistics import Interval, nearest_rank, ratio_interval
from perf.summary import latency_statistic, summaries_from_section
from photofinish.errors import ConfigError

SLOW_DOWN = 0.10
_DRIFT_S = 2.0
_DRIFT_SHARE = 0.05
"""The synthetic machine's speed wanders by about this share, over about these seconds."""
STATISTIC_KEYS = ("p50", "mean", "p95", "frames_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often the interval held 1, and how often it lay wholly below it (a slow-down was found), per statistic."""

    runs: int
    held_one: dict[str, int]
    found_slower: dict[str, int]
    refused: dict[str, int]


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


def slowed(sender: Sender, extra_s: float) -> Sender:
    """The same sender, `extra_s` slower."""

    def send(index: int) -> None:
        sender(index)
        _wait(extra_s)

    return send


def compare_once(first: Sender, second: Sender, *, rounds: int, block_s: float, seed: int) -> Section:
    """One comparison of two senders, as `photofinish perf comparison` makes it."""
    load = Load(mode="closed", block_s=block_s, rounds=rounds, seed=seed)
    arms = (Arm(key="a", label="A", model=""), Arm(key="b", label="B", model=""))
    return run_comparison(
        [contender_from_sender(arm, sender, load) for arm, sender in zip(arms, (first, second), strict=True)],
        load=load,
    )


def tally_from_sections(sections: Sequence[Section]) -> Tally:
    """What the intervals of these comparisons said."""
    gains: dict[str, list[Interval | None]] = {
        key: [summaries_from_section(section)[1].gain(key) for section in sections] for key in STATISTIC_KEYS
    }
    return Tally(
        runs=len(sections),
        held_one={key: sum(item is not None and item.holds(1.0) for item in found) for key, found in gains.items()},
        found_slower={key: sum(item is not None and item.high < 1.0 for item in found) for key, found in gains.items()},
        refused={key: sum(item is None for item in found) for key, found in gains.items()},
    )


def check_discrimination(
    make_sender: Callable[[int], Sender], *, runs: int, rounds: int, block_s: float, on_progress: Callable[[str], None]
) -> dict[str, Tally]:
    """The tallies of `runs` A/A comparisons and of `runs` comparisons with B a tenth slower."""
    probe = run_closed_loop(make_sender(0), requests=100, seconds=10)
    extra_s = SLOW_DOWN * nearest_rank(probe.latency_ns, 0.5) / 1e9
    tallies = {}
    for name, extra in (("same", 0.0), ("slower", extra_s)):
        sections = []
        for run in range(runs):
            on_progress(f"{name}: comparison {run + 1} of {runs}")
            sender = make_sender(run + 1)
            second = slowed(sender, extra) if extra else sender
            sections.append(compare_once(sender, second, rounds=rounds, block_s=block_s, seed=run))
        tallies[name] = tally_from_sections(sections)
    return tallies


def simulated_coverage(
    runs: int, *, rounds: int = 10, block_s: float = 0.3, median_s: float = 0.004
) -> dict[str, float]:
    """The share of A/A comparisons whose interval holds 1, on the synthetic machine without waiting for it."""
    held = dict.fromkeys(("p50", "mean", "p95"), 0)
    for run in range(runs):
        generator = np.random.default_rng(run)
        blocks: dict[str, list[npt.NDArray[np.float64]]] = {"a": [], "b": []}
        now_s = drifted_at_s = drift = 0.0
        for key in itertools.chain.from_iterable(block_order(("a", "b"), rounds=rounds, seed=run)):
            end_s, services = now_s + block_s, []
            while now_s < end_s:
                kept = math.exp(-(now_s - drifted_at_s) / _DRIFT_S)
                drift = kept * drift + generator.normal(0, _DRIFT_SHARE * math.sqrt(1 - kept**2))
                drifted_at_s = now_s
                burst_s = generator.exponential(median_s) if generator.random() < 0.01 else 0.0
                services.append(median_s * math.exp(drift + generator.normal(0, 0.08)) + burst_s)
                now_s += services[-1]
            blocks[key].append(np.array(services))
        for statistic in held:
            held[statistic] += ratio_interval(blocks["a"], blocks["b"], latency_statistic(statistic)).holds(1.0)
    return {key: count / runs for key, count in held.items()}


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
@click.option("--variant", default="", help="Which variant; default: one in the frames contract.")
@click.option("--source", default="synthetic", show_default=True)
@click.option("--runs", default=20, show_default=True)
@click.option("--rounds", default=10, show_default=True)
@click.option("--seconds", default=0.6, show_default=True, help="One block's length.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the tallies as JSON.")
@click.option("--simulate", type=int, help="Only the interval's coverage over this many simulated A/A comparisons.")
def main(
    url: str | None,
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
        click.echo(json.dumps(simulated_coverage(simulate)))
        return

    def progress(line: str) -> None:
        click.echo(line, err=True)

    def check(make_sender: Callable[[int], Sender]) -> dict[str, Tally]:
        return check_discrimination(make_sender, runs=runs, rounds=rounds, block_s=seconds, on_progress=progress)

    if url:
        with served_sender(url, variant, source) as make_sender:
            tallies = check(make_sender)
    else:
        tallies = check(noisy_sender)
    environment = environment_fingerprint(None, server={"kind": "external" if url else "none", "version": ""})
    values = {
        "created_utc": utc_now(),
        "command": ["python", "-m", "perf.check_discrimination", *sys.argv[1:]],
        "slow_down": SLOW_DOWN,
        "environment": environment,
        **{
            name: {"runs": tally.runs, "held_one": tally.held_one, "found_slower": tally.found_slower,
                   "refused": tally.refused}
            for name, tally in tallies.items()
        },
    }  # fmt: skip
    text = json.dumps(values, indent=2)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
