"""The page's web server beside a running cell."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fastapi import FastAPI

from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.ui.cameras.routes import add_camera_routes
from photofinish.client.ui.cameras.show import PictureHub
from photofinish.client.ui.page.server import WebServer, open_listener
from photofinish.client.ui.page.sub_path import SubPath, root_path_from_text
from photofinish.client.ui.page.trusted_hosts import HostGuard, TrustedHosts
from photofinish.errors import PhotofinishError


class CamerasPage:
    """The page in a thread of its own, while the block lasts: Gradio takes seconds to be there, and no camera waits.

    on_ready hears the address, or in words why there is no page. Raises ConfigError at once for what the user wrote
    wrongly, or a port that is taken.
    """

    def __init__(
        self,
        board: CellBoard,
        hub: PictureHub,
        *,
        host: str,
        port: int | None,
        root_path: str,
        trusted_hosts: tuple[str, ...],
        on_ready: Callable[[str], None],
    ) -> None:
        self._root_path = root_path_from_text(root_path)
        self._hosts = TrustedHosts((*trusted_hosts, host))
        self._stop = threading.Event()
        self._is_serving = False
        self._on_ready = on_ready
        self._listener = open_listener(host, port)
        self._board, self._hub = board, hub
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)

    def __enter__(self) -> CamerasPage:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End; a page that is still being built is left behind."""
        self._stop.set()
        if self._is_serving:
            self._thread.join(2.0)
        self._listener.close()

    def _serve(self) -> None:
        from photofinish.client.ui.cameras.page import mount_cameras_page

        app = FastAPI(openapi_url=None)
        add_camera_routes(app, self._board, self._hub, self._stop)
        mount_cameras_page(app, self._root_path)
        if self._stop.is_set():
            return
        guarded = HostGuard(SubPath(app, self._root_path), self._hosts)
        try:
            with WebServer(guarded, self._listener, self._stop) as web:
                self._is_serving = True
                self._on_ready(f"Page: {web.address.url}{self._root_path and f'{self._root_path}/'}")
                self._stop.wait()
        except PhotofinishError as exc:
            self._on_ready(str(exc))
