"""The split view: on a server of our own that is started again when it ends, or on any server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ServerError
from photofinish.flows import tell
from photofinish.flows.race.page import view_racer
from photofinish.flows.showing.core_groups import CoreGroup, core_groups
from photofinish.flows.showing.importing import imported_meanwhile
from photofinish.flows.showing.recall import recall_from_results
from photofinish.flows.showing.shelf import PublishedShelf
from photofinish.flows.showing.toy import knows_nothing, tell_loudly
from photofinish.machine.addresses import is_loopback
from photofinish.machine.processor import usable_cores

if TYPE_CHECKING:
    from photofinish.client.ui.page.app import Hosting, PageStart
    from photofinish.client.ui.page.panels import PagePanel
    from photofinish.client.ui.page.split_view import Choice
    from photofinish.client.ui.processes.source import Pace
    from photofinish.client.ui.processes.turns import TurnMode
    from photofinish.client.ui.race.panel import ViewRacer
    from photofinish.client.ui.words import Language
    from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

SERVER_RESTARTS = 3
PAGE_MODULES = ("photofinish.client.ui.page.page", "photofinish.client.ui.panels", "photofinish.client.ui.race.panel")
"""What brings Gradio: seconds of importing, which a server that loads its models leaves time for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The published variants of the two sides. names: what the server loads instead of these two."""

    baseline: str
    optimised: str
    repository: Path
    names: tuple[str, ...] = ()

    @property
    def served(self) -> tuple[str, ...]:
        """What the server loads."""
        return self.names or (self.baseline, self.optimised)


def show_pair(
    pair: Pair,
    choice: Choice,
    hosting: Hosting,
    *,
    on_progress: Callable[[str], None] = tell,
    start: PageStart | None = None,
) -> None:
    """Serve and show until Ctrl-C. A server that ends by itself is started again, SERVER_RESTARTS times at most.

    on_progress hears of the server's start; start: a page that shows it until the view takes its place.
    """
    from photofinish.client.ui.page.app import serve_view, stopped_by_signals
    from photofinish.server.backend.model import GROUP

    def server_for(names: tuple[str, ...], at: ServerEndpoint | None, cores: Mapping[str, CoreGroup]) -> EmbeddedServer:
        return server_of(replace(pair, names=names), at, on_progress if at is None else tell, cores)

    groups = core_groups() if choice.turns == "auto" and os.environ.get(GROUP) != "1" else None
    shelf = PublishedShelf(pair.repository, pair.served, server_for, groups=groups)
    warn_of_toy(choice.source, [card.weights for name, card in shelf.cards().items() if name == pair.optimised])
    with imported_meanwhile(PAGE_MODULES), shelf, stopped_by_signals() as stop, ExitStack() as stack:
        at = shelf.endpoint
        if group := shelf.cores(pair.baseline):
            tell(f"Each side has {len(group)} of {usable_cores()} cores; with `--turns on` one side at a time has all")
        stack.enter_context(
            serve_view(
                at.grpc_url,
                choice,
                hosting,
                http_url=at.http_url,
                metrics_url=at.metrics_url,
                load_panels=lambda: page_panels(view_racer(lambda: shelf.server.endpoint)),
                shelf=shelf,
                start=start,
                recall=recall_from_results,
                on_progress=tell,
            )
        )
        tell("Ctrl-C stops.")
        for restart in range(1, SERVER_RESTARTS + 1):
            if shelf.is_stopped_by_user(stop):
                return
            how = shelf.server.how_it_ended()
            tell(f"The server ended by itself: {how}; starting it again ({restart} of {SERVER_RESTARTS})")
            shelf.restart()
        if not shelf.is_stopped_by_user(stop):
            raise ServerError(f"the server ended {SERVER_RESTARTS + 1} times; see {shelf.server.log_path}")


def warn_of_toy(source: str, weights: Iterable[str]) -> None:
    """A loud line where the demo detector is to look at pictures that it knows nothing of."""
    from photofinish.client.ui.words import PageWords

    if knows_nothing(source, weights):
        tell_loudly(PageWords("en")("page.warning.toy"))


def page_panels(racer: ViewRacer) -> tuple[PagePanel, ...]:
    """The panels beside the split view; Gradio is imported with them. racer: measures a race on the view's server."""
    from photofinish.client.ui.panels import PANELS
    from photofinish.client.ui.race.panel import race_panel

    return (race_panel(racer), *PANELS)


def server_of(
    pair: Pair,
    at: ServerEndpoint | None = None,
    on_progress: Callable[[str], None] = tell,
    cores: Mapping[str, CoreGroup] | None = None,
) -> EmbeddedServer:
    """A server for the two variants, on free ports or on those of an earlier one. cores: as EmbeddedServer has them."""
    from photofinish.server.triton.embedded import EmbeddedServer

    urls = (at.grpc_url, at.http_url, at.metrics_url) if at else (":0", ":0", ":0")
    grpc, http, metrics = (int(url.rpartition(":")[2]) for url in urls)
    return EmbeddedServer(
        pair.repository,
        models=pair.served,
        grpc_port=grpc,
        http_port=http,
        metrics_port=metrics,
        cores=cores,
        on_progress=on_progress,
    )


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
    lang: Language | None = None,
) -> None:
    """Show two variants of a server that runs already, until Ctrl-C."""
    from photofinish.client.ui.page.app import Hosting, serve_view, stopped_by_signals
    from photofinish.client.ui.page.choosing import choice_from_server
    from photofinish.client.ui.page.sub_path import root_path_from_text
    from photofinish.client.ui.page.why.known import nothing_measured
    from photofinish.client.ui.processes.shelf import served_cards

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
    warn_of_toy(source, [card.weights for name, card in served_cards(url).items() if name == choice.optimised])
    hosting = Hosting(
        host=host,
        port=port,
        share=share,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        root_path=root_path,
        trusted_hosts=trusted_hosts,
        language=lang,
    )
    # Records are of the machine that this runs on; a server elsewhere has its own.
    recall = recall_from_results if is_loopback(url) else nothing_measured
    with (
        stopped_by_signals() as stop,
        serve_view(
            url,
            choice,
            hosting,
            metrics_url=server_metrics_url,
            load_panels=lambda: page_panels(view_racer(metrics_url=server_metrics_url)),
            recall=recall,
            on_progress=tell,
        ),
    ):
        tell("Ctrl-C stops.")
        stop.wait()
