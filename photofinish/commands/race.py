"""`photofinish race`: both sides alone, replayed at true pace to a finish line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.commands.perf_options import RESULTS, SECONDS, bench_options


@click.command(short_help="Who has the boxes of N frames first? With a replay.")
@bench_options
@click.option("--baseline", help="The side to beat. Default: the variant whose role is baseline.")
@click.option("--optimised", help="The other side. Default: the fastest variant here.")
@click.option("--seconds", type=SECONDS, default=10.0, show_default=True, help="How long each side runs, in turn.")
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    help="Where the finish line is. Default: a round number that the slower side reaches within 8 s.",
)
@click.option("--record", type=click.Path(path_type=Path), help="Write the replay as MP4, 1920 × 1080.")
@click.option("--gif", type=click.Path(path_type=Path), help="Write the replay as a small GIF, for a page.")
@click.option("--still", type=click.Path(path_type=Path), help="Write its last picture as PNG or JPEG, for a slide.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "race.json", show_default=True)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Of all captions.")
def race(**options: Any) -> None:
    """Who has the boxes of N frames first? Measured as `perf comparison` does, replayed from one start."""
    from photofinish.flows.race.command import run_race

    run_race(**options)
