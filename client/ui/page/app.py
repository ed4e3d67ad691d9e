"""Everything of the split view together: processes, page, web server, link to share."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from fastapi import FastAPI

from photofinish.client.pipeline.metrics import MetricsEndpoint
from photofinish.client.ui.owner import Owner
from photofinish.client.ui.page.front.preparing import preparing_page
from photofinish.client.ui.page.metrics import registry_of_boards
from photofinish.client.ui.page.server import Address, WebServer, add_view_routes, open_listener
from photofinish.client.ui.page.split_view import Choice, SplitView
from photofinish.client.ui.page.sub_path import SubPath, root_path_from_text
from photofinish.client.ui.page.trusted_hosts import HostGuard, TrustedHosts
from photofinish.client.ui.page.why.known import Recall, nothing_measured
from photofinish.client.ui.processes.shelf import Shelf
from photofinish.client.ui.words import Language
from photofinish.errors import ServerError
from photofinish.machine.addresses import LOOPBACK, host_from_address, is_loopback

if TYPE_CHECKING:
    from photofinish.client.ui.page.panels import PagePanel


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """How the page is reached. port None: the first free one from 7860; share: a public link through Gradio.

    root_path: the path under which a reverse proxy serves the page, such as /cam; "" for none. trusted_hosts: names
    that the page answers to, beside addresses, localhost, `host` and this machine's own. language: the page's, None
    follows each browser.
    """

    host: str = LOOPBACK
    port: int | None = None
    share: bool = False
    metrics_host: str = LOOPBACK
    metrics_port: int | None = None
    root_path: str = ""
    trusted_hosts: tuple[str, ...] = ()
    language: Language | None = None

    @property
    def is_public(self) -> bool:
        """Whether others than this machine's users can reach the page."""
        return self.share or not is_loopback(self.host)

    @property
    def may_have_visitors(self) -> bool:
        """Whether others may come, also those whom a proxy on this machine brings."""
        return self.is_public or bool(self.root_path or self.trusted_hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningView:
    """A view that is being served."""

    view: SplitView
    url: str
    share_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageStart:
    """A page that shows progress until the view takes its place.

    tell: one line more; count: what a model has looked at, of how many frames; end: leave the place.
    """

    listener: socket.socket
    hosts: TrustedHosts
    tell: Callable[[str], None]
    count: Callable[[str, int, int], None]
    end: Callable[[], None]


@contextmanager
def page_start(hosting: Hosting, *, on_progress: Callable[[str], None]) -> Iterator[PageStart]:
    """The page's address answers from now on, with what is told it; `serve_view` goes on at the same address.

    on_progress hears the address. An error that leaves the block is shown on the page.
    """
    root_path = root_path_from_text(hosting.root_path)
    hosts = TrustedHosts((hosting.host, *hosting.trusted_hosts))
    with ExitStack() as stack:
        listener = open_listener(hosting.host, hosting.port)
        stack.callback(listener.close)
        showing = stack.enter_context(ExitStack())
        preparation = showing.enter_context(
            preparing_page(listener, hosts, root_path=root_path, asked=hosting.language)
        )
        on_progress(f"Page: {Address.of(listener).url}{root_path and f'{root_path}/'}")
        yield PageStart(
            listener=listener, hosts=hosts, tell=preparation.tell, count=preparation.count, end=showing.close
        )


@contextmanager
def serve_view(
    url: str,
    choice: Choice,
    hosting: Hosting,
    *,
    http_url: str | None = None,
    metrics_url: str | None = None,
    load_panels: Callable[[], Sequence[PagePanel]] = tuple,
    shelf: Shelf | None = None,
    start: PageStart | None = None,
    recall: Recall = nothing_measured,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Iterator[RunningView]:
    """Serve the split view of the server at `url`, and the panels beside it, while the context is open.

    http_url, metrics_url: the server's other endpoints where they are known. load_panels: gives the panels; called
    once, since they import Gradio. shelf: more variants than the server has loaded. start: the page's address, where it
    shows something already. recall: what was measured here before. on_progress hears where the page is, and
    who may reach it. Nothing is left running or in shared memory after it.
    """
    stop = threading.Event()
    root_path = root_path_from_text(hosting.root_path)
    with ExitStack() as stack:
        hosts = start.hosts if start else TrustedHosts((hosting.host, *hosting.trusted_hosts))
        listener = start.listener if start else open_listener(hosting.host, hosting.port)
        stack.callback(listener.close)
        view = SplitView(url, choice, http_url=http_url, metrics_url=metrics_url, shelf=shelf, recall=recall)
        stack.enter_context(view)
        if hosting.metrics_port is not None:
            registry = registry_of_boards(view.boards, lambda side: view.choice.model_name(side))
            stack.enter_context(MetricsEndpoint(registry, host=hosting.metrics_host, port=hosting.metrics_port))
        from photofinish.client.ui.page.page import mount_view_page
        from photofinish.client.ui.page.panels import PanelContext

        app = FastAPI(openapi_url=None)
        add_view_routes(app, view, stop)
        owner = Owner(is_public=hosting.may_have_visitors)
        context = PanelContext(
            view=view, is_public=hosting.is_public, app=app, stop=stop, asked=hosting.language, resources=stack,
            owner=owner,
        )  # fmt: skip
        mount_view_page(app, context, load_panels(), root_path=root_path)
        if start:
            start.end()
        web = stack.enter_context(WebServer(HostGuard(SubPath(app, root_path), hosts), listener, stop))
        on_progress(f"Split view: {web.address.url}{root_path and f'{root_path}/'}")
        if not is_loopback(hosting.host):
            on_progress(
                f"Anybody who reaches this machine on port {web.address.port} sees this page and can operate it"
            )
        share_url = stack.enter_context(_shared_link(web.address.port)) if hosting.share else None
        if share_url:
            hosts.add(host_from_address(share_url))
            on_progress(f"Link to share: {share_url} (anybody who has it sees and operates this page)")
        if link := owner.link(f"{share_url or web.address.url}{root_path}/"):
            on_progress(f"Yours alone, to start measurements from the page: {link}")
        yield RunningView(view=view, url=web.address.url, share_url=share_url)


@contextmanager
def _shared_link(port: int) -> Iterator[str]:
    """A public address through Gradio's tunnel to our port. Raises ServerError when the tunnel cannot be had."""
    import secrets

    from gradio import networking, tunneling

    known = list(tunneling.CURRENT_TUNNELS)
    try:
        share_url = networking.setup_tunnel(LOOPBACK, port, secrets.token_urlsafe(32), None, None)
    except (OSError, RuntimeError, ValueError) as exc:
        raise ServerError(
            f"no link to share: Gradio's tunnel could not be opened ({exc}); it needs the internet. Run without --share"
        ) from exc
    try:
        yield share_url.replace("http://", "https://", 1)
    finally:
        for tunnel in tunneling.CURRENT_TUNNELS:
            if tunnel not in known and tunnel.proc is not None:
                tunnel.proc.terminate()
                tunnel.proc.wait(10)
                tunnel.proc = None


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, so that closing is never interrupted half-way."""
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if not stop.is_set():
            with suppress(OSError):  # the terminal may be gone
                os.write(2, b"\nstopping; a busy machine takes some seconds\n")
        stop.set()

    # `nohup` starts programs with SIGHUP ignored, and means it.
    hang_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, *hang_up)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
