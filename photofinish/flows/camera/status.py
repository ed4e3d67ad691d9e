"""`photofinish cameras status`: the table of a cell that runs elsewhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import click

from photofinish.client.cameras.endpoint.server import STATUS_PATH
from photofinish.client.cameras.endpoint.status_json import status_from_json
from photofinish.client.cameras.supervise.tables import status_table, summary_line
from photofinish.errors import ConfigError, ServerError, said_of_file

TIMEOUT_S = 5.0
MAX_BYTES = 64 << 20


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
            f"no `photofinish cameras run` answers at {address} ({said_of_file(_behind(exc))}); start one, or give "
            "with --url what its line `Status:` says"
        ) from exc
    except ConfigError as exc:
        raise ServerError(f"{address}: {exc}; is it `photofinish cameras run` of this release?") from exc
    for line in (summary_line(status), "", *status_table(status)):
        click.echo(_printable(line))


def _behind(exc: Exception) -> BaseException:
    """The error of the connection, where urllib wraps one."""
    reason = getattr(exc, "reason", None)
    return reason if isinstance(reason, BaseException) else exc


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
