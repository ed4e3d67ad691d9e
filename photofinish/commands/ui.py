"""`photofinish ui`: the split view against any server."""

from __future__ import annotations

from typing import Any

import click

from photofinish.commands.perf_options import model_option
from photofinish.commands.source_options import source_credentials
from photofinish.machine.addresses import LOOPBACK


@click.command(short_help="Show both sides of a running server in a browser.")
@click.option("--url", default="127.0.0.1:8001", show_default=True, help="The server's gRPC address.")
@click.option("--server-metrics-url", help="The server's metrics address, host:port, for GPU memory.")
@click.option("--source", default="synthetic", show_default=True, help="synthetic, a file, a camera number, rtsp://…")
@model_option
@click.option("--baseline", help="Variant on the left; default: the server's baseline.")
@click.option("--optimised", help="Variant on the right; default: the best of the same model.")
@click.option(
    "--pace",
    type=click.Choice(["free", "camera"]),
    default="free",
    show_default=True,
    help="Recordings: as fast as the faster side takes frames, or at their own rate.",
)
@click.option(
    "--turns",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Whether one side works at a time; auto: where both models run on the CPU. In `demo` not from 8 cores on: "
    "each side has half of them there.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the page; default: the first free from 7860.")
@click.option("--root-path", default="", help="Path under which a reverse proxy serves the page, such as /cam.")
@click.option(
    "--trusted-host", "trusted_hosts", multiple=True, help="A name that the page answers to, as a proxy has it; repeat."
)
@click.option("--lang", type=click.Choice(["en", "zh"]), help="The page's language; default: the browser's.")
@click.option("--share", is_flag=True, help="Print a public link for judges, through Gradio's tunnel.")
@click.option("--metrics-host", default=LOOPBACK, show_default=True, help="Address of the Prometheus endpoint.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Offer the view's own Prometheus metrics here.")
@source_credentials
def ui(**options: Any) -> None:
    """Show baseline and optimised pipeline side by side in a browser."""
    from photofinish.flows.view import show_server

    show_server(**options)
