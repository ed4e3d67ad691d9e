"""The same cameras with one decode process of a GPU and with several, in turn: latency, drops and cores of each.

    python -m experiments.gpu.decoders --turns 1x16,1x8,3x16,2x16 --folder decoders -- --streams 250 \
        --stream-size 1280x720 --stream-fps 25 --fps 5 --seconds 30 --decode gpu --repository model_repository \
        --variant aoti_fp16_rect

A turn is processes x threads of each; it has a record of its own in the folder. What follows `--` is for
`photofinish perf cameras`. PHOTOFINISH_DECODE_DEVICE=stand-in rehearses it on the CPU.

Backs: docs/benchmarking-gpu.md, "Three and one of 64 threads each, one after the other"
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click
import numpy as np

from photofinish.cli import cli
from photofinish.client.cameras.decode.gpu.process import THREADS_VARIABLE
from photofinish.client.cameras.supervise import gpus
from photofinish.errors import VerdictError
from photofinish.percentiles import nearest_rank
from photofinish.perf.record.cameras import CamerasStep, read_cameras_record


def row_of_step(processes: int, threads: int, step: CamerasStep) -> dict[str, float | int]:
    """What a turn says. Latencies are of all cameras together."""
    latencies_ns = np.array([latency for row in step.rows for latency in row.latencies_ns], np.int64)
    due = sum(row.due for row in step.rows)
    return {
        "processes": processes,
        "threads": threads,
        "cameras": step.cameras,
        "p50_ms": round(nearest_rank(latencies_ns, 0.5) / 1e6, 1) if len(latencies_ns) else 0.0,
        "p99_ms": round(nearest_rank(latencies_ns, 0.99) / 1e6, 1) if len(latencies_ns) else 0.0,
        "dropped_percent": round(100 * sum(row.dropped_total for row in step.rows) / max(due, 1), 2),
        "decode_cores": round(step.cores.get("decode", 0.0), 2),
    }


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--turns", default="1x16,3x16,3x16,1x16", show_default=True, help="Processes of the GPU x threads of each."
)
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(turns: str, folder: Path, arguments: tuple[str, ...]) -> None:
    """Run the turns, and print a line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, turn in enumerate(turns.split(",")):
        count, threads = (int(word) for word in turn.split("x"))
        gpus.CAMERAS_A_DECODER, gpus.MOST_DECODERS = 1, count
        os.environ[THREADS_VARIABLE] = str(threads)
        out = folder / f"turn_{number}_{turn}.json"
        with suppress(VerdictError):  # a limit that is missed is a result too
            cli.main(["perf", "cameras", *arguments, "--out", str(out)], standalone_mode=False)
        for step in read_cameras_record(out).steps:
            click.echo(row_of_step(count, threads, step))


if __name__ == "__main__":
    main()
