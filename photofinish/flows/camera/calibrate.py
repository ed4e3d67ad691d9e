"""`photofinish calibrate`: frames from one source, or from all cameras of a list at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from tqdm import tqdm

from photofinish.errors import ConfigError
from photofinish.flows import tell

LISTS = (".toml", ".txt")
"""Endings of a list of cameras; no picture and no video has one of them."""


def run_calibrate(source: str, folder: Path, *, count: int, duration_s: float, min_distance: int, strict: bool) -> None:
    """Collect into the folder, and print it."""
    if Path(source).suffix.lower() in LISTS and "://" not in source:
        _collect_from_list(Path(source), folder, count=count, duration_s=duration_s, min_distance=min_distance)
    else:
        from photofinish.client.calibrate.run import collect_into

        collect_into(
            folder,
            source=source,
            count=count,
            duration_s=duration_s,
            min_distance=min_distance,
            on_progress=tell,
            strict=strict,
        )
    click.echo(folder)


def _collect_from_list(file: Path, folder: Path, *, count: int, duration_s: float, min_distance: int) -> None:
    try:
        from photofinish.client.calibrate.run import progress_bar, tell_collected
        from photofinish.client.cameras.collect.collecting import CameraCollection
        from photofinish.flows.cameras import read_list
    except ModuleNotFoundError as exc:
        raise ConfigError(f"cameras need {exc.name}; install it with `pip install 'photofinish[client]'`") from exc
    cameras = read_list(file).cameras
    tell(f"{count // max(len(cameras), 1)} frames from each of {len(cameras)} cameras over {duration_s:g} s")

    with tell_collected(folder, tell) as done:
        with progress_bar(count // len(cameras) * len(cameras)) as step:
            collection = CameraCollection(
                cameras,
                folder,
                count=count,
                duration_s=duration_s,
                min_distance=min_distance,
                on_notice=lambda text: tqdm.write(text, file=sys.stderr),
                on_part=step,
            )
            manifest = asyncio.run(collection.run())
        done(manifest)
