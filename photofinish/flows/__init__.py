"""What a command composes from several rooms. Data goes to stdout, progress to stderr."""

from __future__ import annotations

import click


def tell(line: str) -> None:
    """One line of progress on stderr."""
    click.echo(line, err=True)
