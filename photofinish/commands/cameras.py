"""`photofinish cameras`: many cameras on one machine, every frame accounted for."""

from __future__ import annotations

from pathlib import Path

import click

LIST = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def cameras() -> None:
    """Watch many cameras: every frame that is due is inferred, or dropped with one cause."""


@cameras.command()
@LIST
@click.option("--seconds", "watch_s", type=click.FloatRange(2.5, 120), default=6.0, show_default=True, help="For each.")
def check(file: Path, watch_s: float) -> None:
    """Reach every camera of FILE once: what it sends, and what to do about the rest.

    FILE is a cameras.toml, or text with one address a line. Exit code 1 when something is to be done about one.
    """
    from photofinish.flows.cameras import run_check

    run_check(file, watch_s=watch_s)
