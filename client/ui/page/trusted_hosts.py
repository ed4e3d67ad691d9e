"""The names under which the page answers, and the pages that may operate it.

A page of a stranger's can give its own name this machine's address (DNS rebinding), and then the browser takes the
split view for a part of it. So the page answers to addresses and to names that somebody has vouched for, and takes no
request that another page has made.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping

from photofinish.client.ui.page.sub_path import AsgiApp, Receive, Scope, Send
from photofinish.errors import ConfigError
from photofinish.machine.addresses import host_from_address

ANY = "*"
COLAB_VARIABLE = "COLAB_RELEASE_TAG"
COLAB_NAMES = ("*.colab.dev", "*.googleusercontent.com")
"""Where Colab's port proxy shows a page of the runtime."""
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)
_HOST = re.compile(r"(?:\[([0-9a-f:.]+(?:%\w+)?)\]|([a-z0-9._-]+))(:\d{1,5})?")
"""What browsers write for a host: an address of IPv6 in brackets, or a name or address of IPv4; and a port."""
_ORIGIN = re.compile(r"(https?)://(.+)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_LONGEST_NAME = 253


def host_name_from_text(text: str) -> str:
    """A host's name in lower case, `*.` and a name for all below it, or `*` for any. ConfigError for something else."""
    name = text.strip().rstrip(".").lower()
    if name != ANY and not is_address(name) and not _NAME.fullmatch(name):
        raise ConfigError(
            f"--trusted-host {text[:80]!r} is no host; expected a name such as cam.example without https:// and port, "
            "or *.example for all names below it"
        )
    return name


def is_address(host: str) -> bool:
    """Whether it is an IP address: no name server decides where it leads."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class TrustedHosts:
    """Names that somebody has vouched for. This machine's own, localhost and all addresses count without."""

    def __init__(self, names: Iterable[str] = (), *, environment: Mapping[str, str] = os.environ) -> None:
        self._names = {host_name_from_text(name) for name in names if name}
        if environment.get(COLAB_VARIABLE):
            self._names.update(COLAB_NAMES)
        own = socket.gethostname().lower()
        self._own = {own, f"{own.partition('.')[0]}.local"}

    def add(self, name: str) -> None:
        """Answer to this name as well from now on."""
        self._names.add(host_name_from_text(name))

    def answers_to(self, host: str) -> bool:
        """Whether the page may be asked for under the host of a `Host` header, with a port or without."""
        found = _HOST.fullmatch(host.strip().lower())
        if found is None:
            return False
        name = found[1] or found[2].rstrip(".")
        if name == "localhost" or name.endswith(".localhost") or name in self._own or is_address(name):
            return True
        return self.vouches_for(name)

    def vouches_for(self, name: str) -> bool:
        """Whether somebody has named it, or all names of its kind."""
        if ANY in self._names or name in self._names:
            return True
        return any(known.startswith("*.") and name.endswith(known[1:]) for known in self._names)

    def is_own_page(self, origin: str, host: str, forwarded_host: str) -> bool:
        """Whether the page that made a request is the view's own, by the headers of the request.

        A proxy may have put another name into `Host`: then the page's must be the one the proxy forwards for, which no
        page can write, or one that somebody has vouched for.
        """
        found = _ORIGIN.fullmatch(origin.lower())
        if found is None or not (parts := _HOST.fullmatch(found[2])):
            return False
        port = _DEFAULT_PORTS[found[1]]
        page = found[2].removesuffix(port)
        if page in {name.strip().lower().removesuffix(port) for name in (host, forwarded_host.partition(",")[0])}:
            return True
        return self.vouches_for(parts[1] or parts[2])


class HostGuard:
    """An ASGI application that passes on what came under a trusted name and from the view's own page."""

    def __init__(self, app: AsgiApp, hosts: TrustedHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it in words."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        status, words = self._refusal({name.lower(): value.decode("latin-1") for name, value in scope["headers"]})
        if not words:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "untrusted"})
        else:
            body = words.encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _refusal(self, headers: Mapping[bytes, str]) -> tuple[int, str]:
        """Status and words for a request that is refused; no words for one that is not."""
        host = headers.get(b"host", "")
        if not self._hosts.answers_to(host):
            return 400, (
                f"Photofinish does not answer to the name {_shown(host)}. It answers to addresses such as 127.0.0.1 "
                f"and to localhost; start it with --trusted-host {_shown(host)} if the name is yours.\n"
            )
        origin = headers.get(b"origin")
        if origin is not None and not self._hosts.is_own_page(origin, host, headers.get(b"x-forwarded-host", "")):
            return 403, (
                f"Photofinish takes no request from a page of {_shown(origin)}. Behind a reverse proxy that changes "
                f"the Host header, start it with --trusted-host {_shown(origin)} if the name is yours.\n"
            )
        return 200, ""


def _shown(address: str) -> str:
    """The host of a header, for a sentence."""
    name = host_from_address(address)[:_LONGEST_NAME]
    return name if _NAME.fullmatch(name) or is_address(name) else "NAME"
