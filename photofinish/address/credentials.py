"""User and password of a camera or stream: how they get into its address, and what to say when that went wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

from photofinish.address.hiding import (
    authority_of,
    host_of,
    is_host,
    is_network_address,
    public_address,
    rest_of,
)
from photofinish.errors import ConfigError, SourceError

USER_VARIABLE, PASSWORD_VARIABLE = "PHOTOFINISH_SOURCE_USER", "PHOTOFINISH_SOURCE_PASSWORD"
HOW_TO_GIVE = (
    "In an address each of / ? # [ ] @ : % in a user or password is percent-encoded (@ as %40); or give them apart, as "
    f"they are: --source-user and {PASSWORD_VARIABLE}"
)
"""The remedy when a user or password is not understood."""


def require_unambiguous(address: str) -> None:
    """Raise SourceError when the password seems to end the host: a `/`, `?` or `#` in it must be percent-encoded."""
    rest, authority = rest_of(address), authority_of(address)
    if "@" not in authority and not is_host(authority) and "@" in rest:
        found = next((mark for mark in "/?#" if mark in rest[: rest.rfind("@")]), "/")
        raise SourceError(
            f"{public_address(address)}: the password seems to hold {found!r}, which ends the host of an address; "
            f"write %{ord(found):02X} for it. {HOW_TO_GIVE}"
        )


def what_to_check(address: str) -> str:
    """What to look at when an address cannot be opened: `the address and that cam is reachable`."""
    if "@" in rest_of(address)[len(authority_of(address)) :]:
        # Maybe a password with a / in it, and then the host that was tried is a piece of it.
        return f"the address. {HOW_TO_GIVE}"
    return f"the address and that {host_of(address) or 'the host'} is reachable"


def complete_source(
    source: str, user: str | None, password: str | None, environment: Mapping[str, str] = os.environ
) -> str:
    """The source with its user and password; the environment's serve network addresses that hold none.

    Raises ConfigError when one is given that the source cannot take.
    """
    is_asked_for = user is not None or password is not None
    if not is_asked_for and (not is_network_address(source) or "@" in authority_of(source)):
        return source
    if user is None:
        user = environment.get(USER_VARIABLE)
    if password is None:
        password = environment.get(PASSWORD_VARIABLE)
    return address_with_credentials(source, user, password)


def address_with_credentials(address: str, user: str | None, password: str | None) -> str:
    """The address with a user and a password in it, percent-encoded; unchanged when both are None or empty.

    Raises ConfigError for a source that is no network address, or that holds a user already.
    """
    if not user and not password:
        return address
    if not is_network_address(address):
        raise ConfigError(f"a user or password is for network addresses; {public_address(address)} is none")
    if "@" in authority_of(address):
        raise ConfigError(f"{public_address(address)} has a user in its address already; give it in one place only")
    rest = rest_of(address)
    credentials = quote(user or "", safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"{address[: len(address) - len(rest)]}{credentials}@{rest}"
