"""What a command composes from several rooms. Data goes to stdout, progress to stderr."""

from __future__ import annotations

import contextlib

import click


def tell(line: str) -> None:
    """One line of progress on stderr. Nothing happens where nobody can read it any more: a terminal that was closed,
    a pipe whose reader has ended, a full disk. Whoever tells of a fault goes on mending it.
    """
    with contextlib.suppress(OSError, ValueError):
        click.echo(line, err=True)
