"""User and password of an RTSP connection: basic and digest (RFC 7616: MD5, SHA-256, with or without qop)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_HASHES: Mapping[str, Callable[[bytes], str]] = {
    "": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}
_PARAMETER = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a server asks for. scheme: basic or digest; parameters: by name in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def algorithm(self) -> str:
        """The hash's name in capitals, "" where none is said."""
        return self.parameters.get("algorithm", "").upper()


def challenge_from_headers(values: Iterable[str]) -> Challenge | None:
    """The best challenge that we can answer, of all WWW-Authenticate headers; None where there is none."""
    found = []
    for value in values:
        scheme, _, rest = value.strip().partition(" ")
        parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        found.append(Challenge(scheme=scheme.lower(), parameters=parameters))
    digests = [item for item in found if item.scheme == "digest" and item.algorithm in _HASHES and _has_nonce(item)]
    digests.sort(key=lambda item: item.algorithm != "SHA-256")
    return next(iter([*digests, *(item for item in found if item.scheme == "basic")]), None)


def _has_nonce(challenge: Challenge) -> bool:
    return "nonce" in challenge.parameters


class Authorizer:
    """Answers one challenge for every request of a connection."""

    def __init__(self, challenge: Challenge, user: str, password: str) -> None:
        self._challenge = challenge
        self._user = user
        self._password = password
        self._count = 0

    def by(self, challenge: Challenge) -> Authorizer:
        """The same user and password by a newer challenge."""
        return Authorizer(challenge, self._user, self._password)

    def header(self, method: str, uri: str) -> str:
        """The value of the Authorization header."""
        if self._challenge.scheme == "basic":
            return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        parameters = self._challenge.parameters
        realm, nonce = parameters.get("realm", ""), parameters["nonce"]
        qop = "auth" if "auth" in re.split(r"[,\s]+", parameters.get("qop", "")) else ""
        self._count += 1
        count, own = f"{self._count:08x}", secrets.token_hex(8)
        response = digest_response(
            self._challenge.algorithm,
            self._user,
            realm,
            self._password,
            method,
            uri,
            nonce,
            (count, own) if qop else None,
        )
        user = self._user.replace("\\", "\\\\").replace('"', '\\"')
        fields = [
            f'username="{user}"',
            f'realm="{realm}"',
            f'nonce="{nonce}"',
            f'uri="{uri}"',
            f'response="{response}"',
        ]
        if self._challenge.algorithm:
            fields.append(f"algorithm={self._challenge.algorithm}")
        if "opaque" in parameters:
            fields.append(f'opaque="{parameters["opaque"]}"')
        if qop:
            fields += ["qop=auth", f"nc={count}", f'cnonce="{own}"']
        return "Digest " + ", ".join(fields)


def digest_response(
    algorithm: str,
    user: str,
    realm: str,
    password: str,
    method: str,
    uri: str,
    nonce: str,
    counted: tuple[str, str] | None,
) -> str:
    """The proof that somebody knows the password. counted: nc and cnonce where qop is auth."""
    made = _HASHES[algorithm]
    secret = made(f"{user}:{realm}:{password}".encode())
    request = made(f"{method}:{uri}".encode())
    middle = f"{nonce}:{counted[0]}:{counted[1]}:auth" if counted else nonce
    return made(f"{secret}:{middle}:{request}".encode())


def is_authorized(header: str, method: str, user: str, password: str, realm: str, nonce: str) -> bool:
    """Whether a request's Authorization header proves user and password to a server that gave this nonce."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() == "basic":
        wanted = base64.b64encode(f"{user}:{password}".encode()).decode()
        return hmac.compare_digest(rest.strip().encode(), wanted.encode())
    given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    algorithm = given.get("algorithm", "").upper()
    if given.get("username") != user or given.get("nonce") != nonce or algorithm not in _HASHES:
        return False
    counted = (given.get("nc", ""), given.get("cnonce", "")) if given.get("qop") else None
    wanted = digest_response(algorithm, user, realm, password, method, given.get("uri", ""), nonce, counted)
    return hmac.compare_digest(given.get("response", "").encode(), wanted.encode())
