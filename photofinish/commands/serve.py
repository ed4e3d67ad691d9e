"""`photofinish serve`: the embedded Triton server on a model repository."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photofinish.flows import tell

if TYPE_CHECKING:
    from photofinish.server.triton.embedded import ServerEndpoint

PORT = click.IntRange(0, 65535)


@click.command(short_help="Serve a model repository with the embedded Triton.")
@click.option("--repository", type=click.Path(path_type=Path), default="model_repository", show_default=True)
@click.option("--model", "models", multiple=True, help="Serve this model only; may be repeated. Default: all.")
@click.option("--grpc-port", type=PORT, default=8001, show_default=True, help="0 takes any free port.")
@click.option("--http-port", type=PORT, default=8000, show_default=True, help="0 takes any free port.")
@click.option("--metrics-port", type=PORT, default=8002, show_default=True, help="0 takes any free port.")
@click.option(
    "--log",
    "log_path",
    type=click.Path(path_type=Path),
    help="The server's log. Default: in .photofinish/logs/, or in the user's cache.",
)
@click.option("--timeout", "ready_timeout_s", type=float, default=300.0, show_default=True, help="Seconds until ready.")
@click.option(
    "--open",
    "is_open",
    is_flag=True,
    help="Answer everybody on this machine, as Ultralytics' client and curl need it: no token. See docs/security.md.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all addresses as one JSON line instead of the gRPC one.")
def serve(repository: Path, as_json: bool, **options: Any) -> None:
    """Serve a model repository with the embedded Triton, on loopback, until Ctrl-C.

    Prints the address for --url on stdout once every model is ready. Photofinish's own commands, of the same user, show
    the server's token by themselves.
    """
    from photofinish.server.triton.embedded import EmbeddedServer
    from photofinish.server.triton.foreground import serve_until_stopped, words_on_access

    server = EmbeddedServer(repository, **options)
    tell(f"log: {server.log_path}")

    def show(at: ServerEndpoint) -> None:
        tell(words_on_access(at))
        click.echo(json.dumps(asdict(at)) if as_json else at.grpc_url)

    serve_until_stopped(server, show)
