"""The options that give a network source its user and password apart from its address."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from photofinish.address.command_line import SECRET_OPTION
from photofinish.address.credentials import PASSWORD_VARIABLE, USER_VARIABLE, complete_source

Command = TypeVar("Command", bound=Callable[..., Any])


def source_credentials(command: Command) -> Command:
    """Adds --source-user and --source-password to a command with a `source`, which gets the address with them in it."""

    @functools.wraps(command)
    def with_credentials(
        *args: Any, source: str, source_user: str | None, source_password: str | None, **rest: Any
    ) -> Any:
        return command(*args, source=complete_source(source, source_user, source_password), **rest)

    for option in (
        click.option(
            SECRET_OPTION,
            help=f"Its password, as it is. Better in {PASSWORD_VARIABLE}, which other users of the machine do not see.",
        ),
        click.option("--source-user", help=f"The user of a camera or stream, as it is; or in {USER_VARIABLE}."),
    ):
        with_credentials = option(with_credentials)
    return with_credentials  # type: ignore[return-value]
