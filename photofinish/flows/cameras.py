"""What `photofinish cameras` does: the list, the cell, the server and the terminal put together."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photofinish.errors import ConfigError, SourceError
from photofinish.flows import tell
from photofinish.names import counted

if TYPE_CHECKING:
    from photofinish.client.cameras.list.reading import CameraList


def _needs_client(exc: ModuleNotFoundError) -> ConfigError:
    return ConfigError(f"cameras needs {exc.name}; install it with `pip install 'photofinish[client]'`")


def read_list(file: Path) -> CameraList:
    """The list, its problems told. Raises ConfigError when there is no camera in it."""
    from photofinish.client.cameras.list.reading import cameras_from_file

    found = cameras_from_file(file)
    for problem in found.problems:
        tell(f"{file}: {problem}")
    if not found.cameras:
        remedy = "correct what stands above" if found.problems else "write one address a line, or [[camera]] rows"
        raise ConfigError(f"{file} has no camera that can be watched; {remedy}")
    return found


def run_cameras(*, file: Path | None, test_streams: int | None, **options: Any) -> None:
    """Watch a list's cameras, or test streams, until the user ends it."""
    if (file is None) == (test_streams is None):
        both = ", and not both" if file else ""
        raise ConfigError(f"cameras run takes a FILE with the cameras, or --test-streams N{both}")
    try:
        from photofinish.flows.camera.outputs import OutputWishes
        from photofinish.flows.camera.recording import RecordingWishes
        from photofinish.flows.camera.watch import WatchPlan
        from photofinish.flows.camera_run import CameraRun
    except ModuleNotFoundError as exc:
        raise _needs_client(exc) from exc
    outputs = OutputWishes(**{item.name: options.pop(item.name) for item in fields(OutputWishes)})
    recording = RecordingWishes(**{item.name: options.pop(item.name) for item in fields(RecordingWishes)})
    plan = WatchPlan(**{field.name: options.pop(field.name) for field in fields(WatchPlan)})
    run = CameraRun(file=file, test_streams=test_streams, outputs=outputs, recording=recording, watch=plan, **options)
    asyncio.run(run.run())


def show_status(url: str) -> None:
    """The table of a running cell on stdout."""
    try:
        from photofinish.flows.camera.status import print_status
    except ModuleNotFoundError as exc:
        raise _needs_client(exc) from exc
    print_status(url)


def run_check(file: Path, *, watch_s: float) -> None:
    """A table of the list's cameras on stdout. Raises SourceError when something is to be done about some of them."""
    try:
        from photofinish.client.cameras.supervise.check import check_cameras
        from photofinish.client.cameras.supervise.tables import check_table
    except ModuleNotFoundError as exc:
        raise _needs_client(exc) from exc
    found = read_list(file)
    tell(f"reaching {counted(len(found.cameras), 'camera')}, at most {watch_s:g} s each, 16 at once")
    rows = asyncio.run(check_cameras(found.cameras, watch_s=watch_s))
    for line in check_table(rows):
        click.echo(line)
    reachable = sum(row.is_reachable for row in rows)
    tell(f"{reachable} of {len(rows)} cameras send pictures")
    lacking = [row.camera.name for row in rows if row.advice]
    if lacking or found.problems:
        names = ", ".join(lacking[:5]) + (", …" if len(lacking) > 5 else "")
        parts = [f"something is to be done about {counted(len(lacking), 'camera')}: {names}"] if lacking else []
        if found.problems:
            parts.append(f"{counted(found.wrong_rows, 'row')} above cannot be used")
        raise SourceError("; ".join(parts))
