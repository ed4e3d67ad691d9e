"""`photofinish cameras`: many cameras on one machine, every frame accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.machine.addresses import LOOPBACK

FOLDER = click.Path(path_type=Path, file_okay=False)
LIST = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group(
    short_help="Watch many cameras; every frame is accounted for.",
    epilog="Begin with `photofinish cameras run --test-streams 3`; with cameras of your own, `check` their list first.",
)
def cameras() -> None:
    """Watch many cameras: every frame that is due is inferred, or dropped with one cause."""


@cameras.command(short_help="Reach every camera of FILE once; what to do about each.")
@LIST
@click.option("--seconds", "watch_s", type=click.FloatRange(2.5, 120), default=6.0, show_default=True, help="For each.")
def check(file: Path, watch_s: float) -> None:
    """Reach every camera of FILE once: what it sends, and what to do about the rest.

    FILE is a cameras.toml, or text with one address a line. Exit code 1 when something is to be done about one.
    """
    from photofinish.flows.cameras import run_check

    run_check(file, watch_s=watch_s)


@cameras.command(short_help="Watch the cameras of FILE until Ctrl-C.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--url",
    "urls",
    multiple=True,
    help="host:port of a Triton gRPC endpoint, again for each GPU; without it servers are started on --repository.",
)
@click.option("--http-url", "http_urls", multiple=True, help="host:port of its HTTP endpoint, where not one below.")
@click.option("--variant", default="", help="Full name or suffix; default: the best of the model exported last.")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option(
    "--test-streams", type=click.IntRange(1, 2000), help="Watch so many real streams of this machine instead."
)
@click.option("--source", default="", help="A video that the test streams show; default: the synthetic camera.")
@click.option("--stream-fps", type=click.FloatRange(0.5, 60), default=5.0, show_default=True, help="Test streams send.")
@click.option("--stream-size", default="640x360", show_default=True, help="Test streams' width x height.")
@click.option(
    "--fps", "frames_per_s", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Inferred of each."
)
@click.option("--json", "json_path", help="A line of JSON for each inferred frame; - is standard output.")
@click.option(
    "--mqtt",
    envvar="PHOTOFINISH_MQTT",
    help="A broker that hears of everything, mqtt://host:1883/prefix; mqtts:// is with TLS.",
)
@click.option(
    "--mqtt-discovery",
    default="homeassistant",
    show_default=True,
    help="Home Assistant's prefix; none for none.",
)
@click.option(
    "--webhook", envvar="PHOTOFINISH_WEBHOOK", help="An address that frames with boxes are posted to, as JSON."
)
@click.option("--tracks", is_flag=True, help="Follow objects from frame to frame, and tell when they come and go.")
@click.option(
    "--line", "lines", multiple=True, help="NAME=X1,Y1,X2,Y2 in shares of the picture: count who crosses it; repeat."
)
@click.option("--zone", "zones", multiple=True, help="NAME=X,Y,X,Y,X,Y… in shares of the picture; repeat.")
@click.option("--snapshots", type=FOLDER, help="A folder for a picture of each tracked object, with its box.")
@click.option("--max-snapshots", type=click.IntRange(1), default=10_000, show_default=True, help="The oldest go first.")
@click.option("--max-snapshots-mb", type=click.FloatRange(1), default=2_000, show_default=True, help="Likewise.")
@click.option("--video", type=FOLDER, help="A folder for films of all cameras, MP4 with boxes.")
@click.option(
    "--max-video-mb", type=click.FloatRange(1), default=10_000, show_default=True, help="The oldest go first."
)
@click.option(
    "--video-segment",
    "video_segment_s",
    type=click.FloatRange(1),
    default=60,
    show_default=True,
    help="Seconds a file.",
)
@click.option("--seconds", type=click.FloatRange(1), help="End after so long. Default: Ctrl-C ends.")
@click.option(
    "--ingest", "ingest_processes", type=click.IntRange(1, 64), help="Processes. Default: one for 150 cameras."
)
@click.option(
    "--decoders", "decode_processes", type=click.IntRange(1, 64), help="Processes. Default: half of the cores."
)
@click.option(
    "--decode",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help='What decodes cameras whose row says "auto": a GPU where there is one, or the CPU.',
)
@click.option("--gpus", default="0", show_default=True, help="GPUs that infer and decode, such as 0,1, or all.")
@click.option("--status-host", default=LOOPBACK, show_default=True, help="Address of status and metrics.")
@click.option("--status-port", type=click.IntRange(0, 65535), help="Their port; default: the first free from 7870.")
@click.option("--page/--no-page", default=True, show_default=True, help="A page that shows the cameras.")
@click.option("--host", default=LOOPBACK, show_default=True, help="Address of the page.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the page; default: the first free from 7860.")
@click.option("--root-path", default="", help="Path under which a reverse proxy serves the page, such as /cam.")
@click.option("--trusted-host", "trusted_hosts", multiple=True, help="A name that status and page answer to; repeat.")
def run(**options: Any) -> None:
    """Watch the cameras of FILE until Ctrl-C: each due frame inferred, or dropped with one cause.

    FILE is read again when it changes, and on SIGHUP. --test-streams N needs no FILE.
    """
    from photofinish.flows.cameras import run_cameras

    run_cameras(**options)


@cameras.command(short_help="Print the table of a running `cameras run`.")
@click.option("--url", default="127.0.0.1:7870", show_default=True, help="Where the run says that its status is.")
def status(url: str) -> None:
    """Print the table of a running `cameras run`, the camera with the most trouble first."""
    from photofinish.flows.cameras import show_status

    show_status(url)
