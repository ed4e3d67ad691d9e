"""`photofinish calibrate`: frames for INT8 from cameras, lists of cameras, streams, videos or folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.commands.source_options import source_credentials


@click.command(short_help="Collect frames of your own scenes, to calibrate INT8 on.")
@click.argument("source")
@click.option("--frames", "count", type=click.IntRange(1, 10_000), default=300, show_default=True, help="At most.")
@click.option("--out", "folder", type=click.Path(path_type=Path), default=Path("calibration"), show_default=True)
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="Seconds over which a camera, or another source without an end, is watched.",
)
@click.option(
    "--min-distance",
    type=click.IntRange(0, 256),
    default=10,
    show_default=True,
    help="Pictures that differ in fewer of the 256 bits of their hash are left out; 0 keeps all.",
)
@click.option("--strict", is_flag=True, help="End at the first picture that cannot be read, instead of skipping it.")
@source_credentials
def calibrate(folder: Path, **options: Any) -> None:
    """Collect calibration frames from SOURCE: a picture folder, a video, a camera index, rtsp://… or synthetic.

    A list of cameras, cameras.toml or text with one address a line, gives frames of all of them at once.

    Run it again to go on after an interruption, or with another source to add to the folder. Prints the folder, which
    `photofinish export --calibration` takes.
    """
    from photofinish.flows.camera.calibrate import run_calibrate

    run_calibrate(folder=folder, **options)
