"""`photofinish perf cameras`: how many cameras a machine carries: a check list, or a plan before it is bought."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from photofinish.commands.perf_options import RESULTS, SECONDS, whole_numbers

LIMITS = {
    "min_fps_percent": ("Of --fps that the slowest camera must have.", 95),
    "mean_ms": ("From capture to boxes, the mean.", 100),
    "p95_ms": ("P95 of it.", 150),
    "p99_ms": ("P99 of it; with --find, of each camera, and 150.", 200),
    "max_drop_percent": ("Of due frames; with --find, of each camera's.", 1),
    "max_cpu_percent": ("Of this machine's cores, without the streams' own.", 90),
    "max_gpu_percent": ("Mean use of each GPU.", 90),
    "max_memory_percent": ("Of this machine's memory.", 90),
    "max_gpu_memory_percent": ("Of each GPU's memory.", 90),
    "min_map": ("mAP50-95 of the accuracy gate.", None),
}
SERVER = {
    "urls": (),
    "http_urls": (),
    "gpus": "0",
    "variant": "",
    "repository": Path("model_repository"),
    "source": "",
}
MODES: dict[str, dict[str, Any]] = {
    "streams": {
        **dict.fromkeys(LIMITS),
        **SERVER,
        "streams": "1,10,30,50,70",
        "seconds": 60.0,
        "codec": "h264",
        "stream_fps": 5.0,
        "stream_size": "640x360",
        "frames_per_s": 5.0,
        "decode": "auto",
        "out": RESULTS / "cameras.json",
    },
    "find": {
        **SERVER,
        "codec": "h264",
        "stream_fps": 25.0,
        "stream_size": "1280x720",
        "frames_per_s": 5.0,
        "p99_ms": 150.0,
        "max_drop_percent": 1.0,
        "decode": "auto",
        "start": 8,
        "most": 2000,
        "seconds": 60.0,
        "confirm_seconds": 600.0,
        "minutes": None,
        "hard_runs": True,
        "anew": False,
        "out": RESULTS / "cameras_find.json",
    },
    "plan": {
        "cameras": 0,
        "codec": "h264",
        "stream_fps": 25.0,
        "stream_size": "1280x720",
        "frames_per_s": 5.0,
        "gpu": None,
        "engine": None,
        "plan_format": "text",
        "lang": "en",
        "out": None,
    },
}
"""What each way of the command takes, and what holds unless it is given."""
CALLS = {
    "streams": "photofinish.flows.camera.perf:measure_cameras",
    "find": "photofinish.flows.camera.find:find_cameras",
    "plan": "photofinish.flows.camera.plan:print_plan",
}
FLAGS = {
    "urls": "--url",
    "http_urls": "--http-url",
    "frames_per_s": "--fps",
    "stream_fps": "--stream-fps",
    "stream_size": "--stream-size",
    "plan_format": "--format",
}


def limit_flags(command: Any) -> Any:
    """A flag for each limit; the command gets those that were given among its options."""
    for name, (text, default) in reversed(LIMITS.items()):
        shown = f"{text}  [default: {default}]" if default is not None else f"{text}  [default: its own floor]"
        command = click.option(f"--{name.replace('_', '-')}", type=click.FloatRange(min=0), help=shown)(command)
    return command


def chosen_mode(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The way that was asked for and its options, defaults put in. Raises UsageError for a flag of another way."""
    asked = [mode for mode in MODES if options.pop(f"is_{mode}", False)]
    if len(asked) > 1:
        raise click.UsageError(f"choose one of {' and '.join(f'--{mode}' for mode in asked)}")
    mode = asked[0] if asked else "streams"
    if (share := options.pop("max_drops", None)) is not None:
        options["max_drop_percent"] = 100 * share
    context, taken = click.get_current_context(), MODES[mode]
    for name in options.keys() - taken.keys():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            ways = " or ".join(f"--{other}" for other in MODES if name in MODES[other])
            raise click.UsageError(f"{flag} belongs to {ways}, and says nothing with --{mode}")
    given = {name: value for name in taken if (value := options.get(name)) is not None}
    return mode, {**taken, **given}


@click.command(short_help="How many cameras this machine carries, or a GPU would.")
@click.option("--plan", "is_plan", is_flag=True, help="What GPUs would carry, by arithmetic; measures nothing.")
@click.option("--find", "is_find", is_flag=True, help="Search the most cameras that hold the goal, and confirm them.")
@click.option("--streams", help="Numbers of cameras, one step each.  [default: 1,10,30,50,70]")
@click.option("--cameras", type=click.IntRange(1, 100_000), help="With --plan: how many are wanted.")
@click.option("--seconds", type=SECONDS, help="One step's length after its warm-up.  [default: 60]")
@click.option("--confirm-seconds", type=SECONDS, help="With --find: the confirmation's length.  [default: 600]")
@click.option("--minutes", type=SECONDS, help="With --find: end in time; the same command goes on.")
@click.option("--start", type=click.IntRange(1), help="With --find: the first number of cameras.  [default: 8]")
@click.option("--most", type=click.IntRange(1), help="With --find: no more are tried.  [default: 2000]")
@click.option("--hard-runs/--no-hard-runs", default=None, help="With --find: two hard runs at the end.  [default: yes]")
@click.option("--anew", is_flag=True, default=None, help="With --find: forget what --out holds of an earlier search.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    help="host:port of a Triton gRPC endpoint, again for each GPU; without it servers are started on --repository.",
)
@click.option("--http-url", "http_urls", multiple=True, help="host:port of its HTTP endpoint, where not one below.")
@click.option("--gpus", help="GPUs that infer and decode, such as 0,1, or all, as of `cameras run`.  [default: 0]")
@click.option("--variant", help="Full name or suffix; default: the best of the model exported last.")
@click.option("--repository", type=click.Path(path_type=Path), help="[default: model_repository]")
@click.option("--source", help="A video that the streams show; default: the synthetic camera.")
@click.option("--codec", type=click.Choice(["h264", "hevc", "mjpeg"]), help="Of the streams.  [default: h264]")
@click.option(
    "--stream-fps",
    "--send-fps",
    "stream_fps",
    type=click.FloatRange(0.5, 60),
    help="Each stream sends.  [default: 5; 25 with --find and --plan]",
)
@click.option(
    "--stream-size",
    "--size",
    "stream_size",
    help="Width x height of each.  [default: 640x360; 1280x720 with --find and --plan]",
)
@click.option(
    "--fps", "--infer-fps", "frames_per_s", type=click.FloatRange(0.1, 60), help="Inferred of each.  [default: 5]"
)
@click.option(
    "--decode",
    type=click.Choice(["auto", "cpu", "gpu"]),
    help="What decodes; gpu: a session of a GPU for every camera, or the step misses.  [default: auto]",
)
@click.option("--gpu", metavar="NAME", help="With --plan: show the arithmetic for this one, such as A10.")
@click.option("--engine", type=click.Path(path_type=Path), help="With --plan: a record of your own `perf sweep`.")
@click.option("--format", "plan_format", type=click.Choice(["text", "markdown", "json"]), help="Of the plan.")
@click.option("--lang", type=click.Choice(["en", "zh"]), help="Of the plan.  [default: en]")
@click.option("--out", type=click.Path(path_type=Path), help=f"[default: in {RESULTS}; a plan is printed]")
@click.option("--max-drops", type=click.FloatRange(0, 1), help="The same as --max-drop-percent, as a share: 0.01.")
@limit_flags
def cameras(**options: Any) -> None:
    """Real RTSP streams in growing numbers, and a check list for each number; or --find, or --plan.

    Exit code 3 when a line is missed, when the streams were sent late, which voids a step, or when nothing was found.
    """
    mode, chosen = chosen_mode(options)
    if mode == "streams":
        limits = {name: value for name in LIMITS if (value := chosen.pop(name)) is not None}
        chosen |= {"counts": whole_numbers(chosen.pop("streams")), "limits": limits}
    module, _, name = CALLS[mode].partition(":")
    getattr(import_module(module), name)(**chosen)
