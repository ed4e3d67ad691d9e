"""What may be shown of an address of a camera or stream.

Whatever prints, names or keeps a source shows `public_address(source)`. It errs on the side of hiding: a password that
was not percent-encoded makes an address ambiguous, and then all of it that may be the password is left out.
"""

from __future__ import annotations

import re

HIDDEN = "…"
NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "srt")

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(/+)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.%\w]*\]|[\w.~-]*)(:\d*)?", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"[\w.~-]+:\d+(?=/)")
_QUERY = re.compile(r"\?[\w.%-]+=")
_SECRET_WORDS = r"""
    (?: user | usr | login | account | pass | pwd | psw | token | auth | secret | cred ) [a-z0-9]*
    | pas | pw | (?: (?: api | app | access | stream ) [_-]? )? key
"""
_SECRET = re.compile(
    rf"(?<![a-z0-9]) (?: {_SECRET_WORDS} ) (?: [_-][a-z0-9]+ )* \s* (?: = | : | %3d | %3a ) .*",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_PAIR_IN_PATH = re.compile(r"(?<=/)[^/]*(?::|%3a)[^/]*", re.IGNORECASE)
_SIGN_OF_PAIR = re.compile(r"[:;\uff1a]|%3a", re.IGNORECASE)


def public_address(text: str) -> str:
    """`text` without the user, password and query of an address; anything else, such as a file name, unchanged.

    `rtsp://user:pw@cam/live?token=1` becomes `rtsp://cam/live`. What cannot be told from a password becomes `…`.
    """
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _public_without_scheme(text)
    if scheme[1].lower() == "file":
        return text
    return scheme[0] + _public_rest(text[scheme.end() :])


def is_network_address(text: str) -> bool:
    """Whether it begins with the kind of a network address and two slashes, such as `rtsp://`."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[1].lower() in NETWORK_SCHEMES and scheme[2] == "//"


def looks_like_address(text: str) -> bool:
    """Whether it is an address, or was meant to be one: `rtsp:/cam`, `user:pw@cam`."""
    return _SCHEME.match(text) is not None or public_address(text) != text


def rest_of(address: str) -> str:
    """All behind `scheme://`."""
    scheme = _SCHEME.match(address)
    return address[scheme.end() :] if scheme else address


def authority_of(address: str) -> str:
    """`user:pw@host:port` as a network library finds it: up to the first `/`, `?` or `#`."""
    return re.split(r"[/?#]", rest_of(address), maxsplit=1)[0]


def host_of(address: str) -> str | None:
    """The host that a network library connects to; None where none can be found."""
    host = _HOST.match(authority_of(address).rpartition("@")[2])
    return (host[1].strip("[]") or None) if host else None


def is_host(authority: str) -> bool:
    """Whether it is nothing but a host, with a port or without."""
    return _HOST.fullmatch(authority) is not None


def _public_rest(rest: str) -> str:
    """What may be shown of an address behind its `scheme://`."""
    if rest.startswith(HIDDEN + "@"):  # hidden before
        return HIDDEN + "@" + _without_secrets(_without_query(rest[len(HIDDEN) + 1 :]))
    before = _without_query(rest)
    query = rest[len(before) :]
    if "@" in query and not _QUERY.match(query):  # a password with ? or # in it
        return HIDDEN + "@" + _without_secrets(_without_query(rest.rpartition("@")[2]))
    authority = before.partition("/")[0]
    if "@" in before[len(authority) :]:  # a password with / in it, or a path with @ in it
        credentials, _, shown = before.rpartition("@")
        is_secret = ":" in credentials or "@" in authority
        return HIDDEN + "@" + _without_secrets(shown) if is_secret else _without_secrets(before)
    if "@" in authority:
        return _without_secrets(before.rpartition("@")[2])
    if not is_host(authority):  # `admin:secret` without a host behind it
        shown = _without_secrets(_without_query(rest.rpartition("@")[2])) if "@" in rest else ""
        return HIDDEN + ("@" + shown if shown else "")
    return _without_secrets(before)


def _public_without_scheme(text: str) -> str:
    """What may be shown of a file's name, or of an address without its `rtsp://`."""
    before, at, after = text.rpartition("@")
    if at and (_SIGN_OF_PAIR.search(before) or (before and "/" not in before and "/" in after)):
        return HIDDEN + at + _without_secrets(_without_query(after))
    if _HOST_AND_PORT.match(text):
        return _without_secrets(_without_query(text))
    return _SECRET.sub(HIDDEN, text)


def _without_query(rest: str) -> str:
    return re.split(r"[?#]", rest, maxsplit=1)[0]


def _without_secrets(rest: str) -> str:
    """Some cameras take the password in the path: /user=admin_password=secret_channel=1.sdp, /0/admin:secret/main."""
    return _SECRET.sub(HIDDEN, _PAIR_IN_PATH.sub(HIDDEN, rest))
