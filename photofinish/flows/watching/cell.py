"""Watching `photofinish cameras run`: its endpoint, its page, and the table of `photofinish cameras status`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.cameras.endpoint.server import DEFAULT_PORT, STATUS_PATH, StatusEndpoint
from photofinish.client.cameras.endpoint.status_json import status_from_json
from photofinish.client.cameras.supervise.tables import status_table, summary_line
from photofinish.client.ui.page.trusted_hosts import TrustedHosts
from photofinish.errors import ConfigError, ServerError, reason_from_error
from photofinish.flows import tell
from photofinish.machine.addresses import LOOPBACK, is_loopback

STATUS_URL = f"http://{LOOPBACK}:{DEFAULT_PORT}"
TIMEOUT_S = 5.0
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """How a run can be watched. status_port None: the first free one from 7870. Names as in client/ui/page/app.py."""

    status_host: str = LOOPBACK
    status_port: int | None = None
    trusted_hosts: tuple[str, ...] = ()


@contextmanager
def watched(board: CellBoard, plan: WatchPlan) -> Iterator[None]:
    """Serve the board's endpoint while the block lasts, and say where. Raises ConfigError for a port that is taken."""
    hosts = TrustedHosts((*plan.trusted_hosts, plan.status_host))
    with StatusEndpoint(board, host=plan.status_host, port=plan.status_port, answers_to=hosts.answers_to) as endpoint:
        tell(f"Status: {endpoint.url} (/status, /metrics, /healthz, /readyz)")
        if not is_loopback(plan.status_host):
            tell(f"Anybody who reaches this machine on port {endpoint.port} can read the cameras' names and figures")
        yield


def print_status(url: str) -> None:
    """The table of a running cell on stdout. Raises ServerError when none answers at `url`."""
    address = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        with urllib.request.urlopen(f"{address.removesuffix(STATUS_PATH)}{STATUS_PATH}", timeout=TIMEOUT_S) as answer:
            status = status_from_json(json.loads(answer.read(MAX_BYTES)))
    except urllib.error.HTTPError as exc:
        words = _printable(exc.read(200).decode("utf-8", "replace").strip())
        raise ServerError(f"{address} tells no status ({exc.code}): {words}") from exc
    except (OSError, ValueError) as exc:
        raise ServerError(
            f"no cell answers at {address} ({reason_from_error(exc)}); `photofinish cameras run` says in its first "
            "lines where its status is: give that with --url"
        ) from exc
    except ConfigError as exc:
        raise ServerError(f"{address}: {exc}; is it `photofinish cameras run` of this release?") from exc
    for line in (summary_line(status), "", *status_table(status)):
        click.echo(_printable(line))


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
