"""`photofinish calibrate`: frames for INT8 from cameras, streams, videos or folders."""

from __future__ import annotations

from pathlib import Path

import click

from photofinish.commands.source_options import source_credentials


@click.command()
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
@source_credentials
def calibrate(source: str, count: int, folder: Path, duration_s: float, min_distance: int) -> None:
    """Collect calibration frames from SOURCE: a picture folder, a video, a camera index, rtsp://… or synthetic.

    Run it again to go on after an interruption, or with another source to add to the folder. Prints the folder, which
    `photofinish export --calibration` takes.
    """
    from photofinish.client.calibrate.collecting import collect_frames
    from photofinish.client.calibrate.manifest import manifest_from_folder
    from photofinish.client.calibrate.progress import progress_bar
    from photofinish.client.calibrate.sheet import write_contact_sheet
    from photofinish.client.sources.opening import open_source

    before = len(manifest_from_folder(folder).frames)
    try:
        with (
            open_source(source, on_notice=lambda line: click.echo(line, err=True)) as opened,
            progress_bar(count) as step,
        ):
            manifest = collect_frames(
                opened, source, folder, count=count, duration_s=duration_s, min_distance=min_distance, on_slot=step
            )
    except KeyboardInterrupt:
        click.echo(f"{folder} keeps what was collected; run the same command again to go on", err=True)
        raise
    duplicates = sum(state.duplicates for state in manifest.sources.values())
    new = len(manifest.frames) - before
    click.echo(f"{new} new frames, {len(manifest.frames)} in all; near-duplicates left out: {duplicates}", err=True)
    click.echo(f"look at {write_contact_sheet(manifest, folder)}", err=True)
    click.echo(folder)
