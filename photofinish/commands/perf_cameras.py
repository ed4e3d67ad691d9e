"""`photofinish perf cameras`: how many cameras this machine carries, as a check list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.commands.perf_options import RESULTS, SECONDS, whole_numbers

LIMITS = {
    "min_fps_percent": ("Of --fps that the slowest camera must have.", 95),
    "mean_ms": ("From capture to boxes, the mean.", 100),
    "p95_ms": ("P95 of it.", 150),
    "p99_ms": ("P99 of it.", 200),
    "max_drop_percent": ("Of due frames.", 1),
    "max_cpu_percent": ("Of this machine's cores, without the streams' own.", 90),
    "max_gpu_percent": ("Mean use of each GPU.", 90),
    "max_memory_percent": ("Of this machine's memory.", 90),
    "max_gpu_memory_percent": ("Of each GPU's memory.", 90),
    "min_map": ("mAP50-95 of the accuracy gate.", None),
}


def limit_flags(command: Any) -> Any:
    """A flag for each limit; the command gets those that were given among its options."""
    for name, (text, default) in reversed(LIMITS.items()):
        shown = f"{text}  [default: {default}]" if default is not None else f"{text}  [default: its own floor]"
        command = click.option(f"--{name.replace('_', '-')}", type=click.FloatRange(min=0), help=shown)(command)
    return command


@click.command()
@click.option("--streams", default="1,10,30,50,70", show_default=True, help="Numbers of cameras, one step each.")
@click.option("--seconds", type=SECONDS, default=60.0, show_default=True, help="One step's length after its warm-up.")
@click.option("--url", help="host:port of a Triton gRPC endpoint; without it a server is started on --repository.")
@click.option("--http-url", help="host:port of its HTTP endpoint, where it is not one below.")
@click.option("--variant", default="", help="Full name or suffix; default: the first optimised one.")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--source", default="", help="A video that the streams show; default: the synthetic camera.")
@click.option("--stream-fps", type=click.FloatRange(0.5, 60), default=5.0, show_default=True, help="The streams send.")
@click.option("--stream-size", default="640x360", show_default=True, help="The streams' width x height.")
@click.option(
    "--fps", "frames_per_s", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, help="Inferred of each."
)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "cameras.json", show_default=True)
@limit_flags
def cameras(streams: str, **options: Any) -> None:
    """Real RTSP streams in growing numbers, and a check list for each number.

    Exit code 3 when a line is missed, or when the streams were sent late, which voids a step.
    """
    from photofinish.flows.camera.perf import measure_cameras

    limits = {name: value for name in LIMITS if (value := options.pop(name)) is not None}
    measure_cameras(counts=whole_numbers(streams), limits=limits, **options)
