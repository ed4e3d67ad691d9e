"""`photofinish demo`: weights to a split view, or to a printed comparison, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photofinish.commands.source_options import source_credentials


@click.command(short_help="Export, serve and show both sides in a browser.")
@click.option("--weights", default="demo", show_default=True, help="A .pt, .onnx or .yaml file, or demo.")
@click.option("--model", help="A model that the repository holds already, shown as it is: nothing is made.")
@click.option("--source", default="synthetic", show_default=True, help="synthetic, a file, a camera number, rtsp://…")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--baseline", help="Variant on the left, such as torch_fp32_tensor; default: the baseline.")
@click.option("--optimised", help="Variant on the right, such as onnx_fp16; default: the best this machine can make.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--kernels/--no-kernels", envvar="PHOTOFINISH_KERNELS", help="As in `export`: minutes of search, then faster."
)
@click.option("--headless", is_flag=True, help="No page: measure both pipelines in turn, print their table, end.")
@click.option("--seconds", type=click.FloatRange(2, 600), default=30.0, show_default=True, help="For --headless.")
@click.option("--pace", type=click.Choice(["free", "camera"]), default="free", show_default=True, help="As in `ui`.")
@click.option(
    "--turns", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True, help="As in `ui`."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the page.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the page; default: the first free from 7860.")
@click.option("--root-path", default="", help="Path under which a reverse proxy serves the page, such as /cam.")
@click.option(
    "--trusted-host", "trusted_hosts", multiple=True, help="A name that the page answers to, as a proxy has it; repeat."
)
@click.option("--lang", type=click.Choice(["en", "zh"]), help="The page's language; default: the browser's.")
@click.option("--share", is_flag=True, help="Print a public link for judges, through Gradio's tunnel.")
@source_credentials
def demo(**options: Any) -> None:
    """Export, serve, and show baseline and optimised pipeline side by side. Ctrl-C stops everything."""
    from photofinish.flows.demo import DemoRequest, run_demo

    run_demo(DemoRequest(**options))
