"""`photofinish detect`: boxes in pictures, videos, cameras and streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from photofinish.commands.perf_options import model_option, transport_option
from photofinish.commands.source_options import source_credentials
from photofinish.errors import ConfigError


@click.command(short_help="Find objects in pictures, videos, cameras and streams.")
@click.argument("source")
@click.option("--url", help="host:port of a Triton gRPC endpoint; without it a server is started on --repository.")
@click.option("--variant", help="Full name or suffix, e.g. onnx_fp16; default: the best one here.")
@model_option
@click.option(
    "--with",
    "with_models",
    multiple=True,
    metavar="MODEL",
    help="A further model, or one of its variants, that looks at the same picture; may be repeated.",
)
@click.option(
    "--crops",
    multiple=True,
    metavar="MODEL[:CLASS,CLASS…]",
    help="A model that looks at the first one's boxes, cut out of the picture; may be repeated.",
)
@click.option(
    "--crop-limit",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Most boxes of a picture for --crops.",
)
@click.option(
    "--crop-side",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Smallest side of them, in pixels.",
)
@click.option(
    "--crop-margin",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Cut out so much more at each side, as a share of the box's width and height.",
)
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--confidence", type=click.FloatRange(0, 1), default=0.25, show_default=True)
@click.option("--save", "save_folder", type=click.Path(path_type=Path), metavar="DIR", help="Keep annotated copies.")
@click.option("--text", "with_text", is_flag=True, help="Beside them a label file (YOLO) and a JSON file each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per picture on stdout.")
@click.option("--strict", is_flag=True, help="End at the first picture that cannot be read, instead of skipping it.")
@click.option("--frames", "frame_limit", type=click.IntRange(1), help="Stop after so many frames.")
@click.option("--every", type=click.IntRange(1), default=1, help="Look at each so many-th frame or picture only.")
@transport_option()
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve Prometheus metrics on 127.0.0.1:PORT.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds.")
@source_credentials
def detect(**options: Any) -> None:
    """Find objects in SOURCE.

    SOURCE is a picture, a folder of pictures and videos, a video, a camera index, rtsp://… or `synthetic`.
    """
    if options["with_text"] and options["save_folder"] is None:
        raise click.UsageError("--text writes beside the annotated copies; say where with --save DIR")
    source_of = click.get_current_context().get_parameter_source
    if not options["crops"] and any(
        source_of(name) is ParameterSource.COMMANDLINE for name in ("crop_limit", "crop_side", "crop_margin")
    ):
        raise click.UsageError(
            "--crop-limit, --crop-side and --crop-margin are of --crops; say which model looks with --crops MODEL"
        )
    try:
        from photofinish.flows.detect import run_detect
    except ModuleNotFoundError as exc:
        raise ConfigError(f"detect needs {exc.name}; install it with `pip install 'photofinish[client]'`") from exc
    run_detect(**options)
