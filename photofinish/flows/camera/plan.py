"""`photofinish perf cameras --plan`: what GPUs would carry, by arithmetic, before one is bought."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from photofinish.client.cameras.streams.clip import size_from_text
from photofinish.machine.nvdec import VideoCodec
from photofinish.perf.cameras.plan import CameraNeed, own_rate, plan_rows
from photofinish.perf.cameras.silicon import gpu_named
from photofinish.perf.record.record import write_whole
from photofinish.perf.report.cameras.plan import CameraPlan, plan_json, plan_markdown, plan_text
from photofinish.perf.report.words import Words

PlanFormat = Literal["text", "markdown", "json"]


def print_plan(
    *,
    cameras: int,
    stream_size: str,
    codec: VideoCodec,
    stream_fps: float,
    frames_per_s: float,
    gpu: str | None,
    engine: Path | None,
    plan_format: PlanFormat,
    lang: str,
    out: Path | None,
) -> None:
    """A row for each GPU on stdout, or in `out`. Raises ConfigError for what no camera does."""
    size_wh = size_from_text(stream_size)
    need = CameraNeed(size_wh=size_wh, codec=codec, send_fps=stream_fps, infer_fps=frames_per_s, cameras=cameras)
    own = own_rate(engine) if engine else None
    chosen = gpu_named(gpu) if gpu else None
    plan, say = CameraPlan(need=need, rows=plan_rows(need, own=own), own=own, gpu=chosen), Words(lang)
    if plan_format == "json":
        text = plan_json(plan)
    else:
        text = plan_markdown(plan, say) if plan_format == "markdown" else plan_text(plan, say)
    if out is None:
        click.echo(text)
    else:
        write_whole(text + "\n", out)
        click.echo(str(out))
