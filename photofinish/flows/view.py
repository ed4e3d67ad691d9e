"""The split view: on a server of our own that is started again when it ends, or on any server."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ServerError
from photofinish.flows import tell

if TYPE_CHECKING:
    from threading import Event

    from photofinish.client.ui.page.app import Hosting
    from photofinish.client.ui.page.split_view import Choice
    from photofinish.client.ui.processes.source import Pace
    from photofinish.client.ui.processes.turns import TurnMode
    from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

SERVER_RESTARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The published variants of the two sides."""

    baseline: str
    optimised: str
    repository: Path


def show_pair(pair: Pair, choice: Choice, hosting: Hosting) -> None:
    """Serve and show until Ctrl-C. A server that ends by itself is started again, SERVER_RESTARTS times at most."""
    from photofinish.client.ui.page.app import serve_view, stopped_by_signals

    with server_of(pair) as server, stopped_by_signals() as stop, ExitStack() as stack:
        at = server.endpoint
        urls = {"http_url": at.http_url, "metrics_url": at.metrics_url}
        stack.enter_context(serve_view(at.grpc_url, choice, hosting, **urls, on_progress=tell))
        tell("Ctrl-C stops.")
        for restart in range(1, SERVER_RESTARTS + 1):
            if waited_for_end(server, stop):
                return
            how = server.how_it_ended()
            tell(f"The server ended by itself: {how}; starting it again ({restart} of {SERVER_RESTARTS})")
            server.stop()
            server = stack.enter_context(server_of(pair, at))
        if not waited_for_end(server, stop):
            raise ServerError(f"the server ended {SERVER_RESTARTS + 1} times; see {server.log_path}")


def server_of(pair: Pair, at: ServerEndpoint | None = None) -> EmbeddedServer:
    """A server for the two variants, on free ports or on those of an earlier one."""
    from photofinish.server.triton.embedded import EmbeddedServer

    urls = (at.grpc_url, at.http_url, at.metrics_url) if at else (":0", ":0", ":0")
    grpc, http, metrics = (int(url.rpartition(":")[2]) for url in urls)
    return EmbeddedServer(
        pair.repository,
        models=(pair.baseline, pair.optimised),
        grpc_port=grpc,
        http_port=http,
        metrics_port=metrics,
        on_progress=tell,
    )


def waited_for_end(server: EmbeddedServer, stop: Event) -> bool:
    """True once the user stops; False as soon as the server has ended by itself."""
    while server.is_alive():
        if stop.wait(0.5):
            return True
    return stop.is_set()


def show_server(
    url: str,
    *,
    server_metrics_url: str | None,
    source: str,
    model: str | None,
    baseline: str | None,
    optimised: str | None,
    pace: Pace,
    turns: TurnMode,
    host: str,
    port: int | None,
    root_path: str,
    trusted_hosts: tuple[str, ...],
    share: bool,
    metrics_host: str,
    metrics_port: int | None,
) -> None:
    """Show two variants of a server that runs already, until Ctrl-C."""
    from photofinish.client.ui.page.app import Hosting, serve_view, stopped_by_signals
    from photofinish.client.ui.page.choosing import choice_from_server
    from photofinish.client.ui.page.sub_path import root_path_from_text

    root_path = root_path_from_text(root_path)
    choice = choice_from_server(
        url,
        source=source,
        model=model,
        baseline=baseline,
        optimised=optimised,
        pace=pace,
        turns=turns,
        on_notice=tell,
    )
    hosting = Hosting(
        host=host,
        port=port,
        share=share,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        root_path=root_path,
        trusted_hosts=trusted_hosts,
    )
    with (
        stopped_by_signals() as stop,
        serve_view(url, choice, hosting, metrics_url=server_metrics_url, on_progress=tell),
    ):
        tell("Ctrl-C stops.")
        stop.wait()
