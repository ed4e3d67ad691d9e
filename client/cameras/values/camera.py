"""One camera of the list: what to watch, how often, and with which secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote

from photofinish.address.hiding import authority_of, is_network_address, public_address, rest_of
from photofinish.errors import ConfigError

StreamTransport = Literal["tcp", "udp"]
DecodeChoice = Literal["auto", "cpu", "gpu"]

DEFAULT_FRAMES_PER_S = 5.0
MAX_FRAMES_PER_S = 120.0
MAX_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A named polygon in shares of the picture: points (x, y) within 0..1, at least three."""

    name: str
    points_xy: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Raise ConfigError unless it is a polygon inside the picture."""
        inside = all(0 <= value <= 1 for point in self.points_xy for value in point)
        if len(self.points_xy) < 3 or not inside:
            raise ConfigError(
                f"zone {self.name!r} must have three or more points [x, y] within 0..1, got {list(self.points_xy)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A named line in shares of the picture, from its first point (x, y) within 0..1 to its second.

    To cross it to the left hand of one who walks along it is "in", to the right hand "out".
    """

    name: str
    points_xy: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Raise ConfigError unless it is a line inside the picture."""
        inside = all(0 <= value <= 1 for point in self.points_xy for value in point)
        if len(set(self.points_xy)) != 2 or len(self.points_xy) != 2 or not inside:
            raise ConfigError(
                f"line {self.name!r} must have two different points [x, y] within 0..1, got {list(self.points_xy)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One row of the list.

    url: the address without user and password, or a file, `/dev/video0`. user, password: as they are, not encoded; they
    are in no repr, and `address_with_secret` is the one way to them. frames_per_s: how many frames are due.
    priority: higher ones are served first and degraded last. variant: "" for the run's. classes: names to tell, all
    when empty. stall_s: seconds without a picture that count as a stall, None for max(3 s, 5 frame intervals).
    max_age_s: a picture that waited longer is dropped. tracks: whether objects are followed from frame to frame, which
    lines need; video: whether its frames are filmed; None for both is as the run says.
    """

    name: str
    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    frames_per_s: float = DEFAULT_FRAMES_PER_S
    priority: int = 0
    transport: StreamTransport = "tcp"
    decode: DecodeChoice = "auto"
    variant: str = ""
    min_confidence: float = 0.25
    classes: tuple[str, ...] = ()
    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    tracks: bool | None = None
    video: bool | None = None
    stall_s: float | None = None
    max_age_s: float = 1.0

    def __post_init__(self) -> None:
        """Raise ConfigError that names the camera and what is wrong with it."""
        self._require(0 < len(self.name) <= MAX_NAME and self.name.isprintable(), "name", "1 to 64 printable letters")
        self._require(bool(self.url.strip()), "url", "an address, a file or a device")
        self._require(
            0 < self.frames_per_s <= MAX_FRAMES_PER_S, "frames_per_s", f"above 0 and at most {MAX_FRAMES_PER_S:g}"
        )
        self._require(0 <= self.min_confidence <= 1, "min_confidence", "within 0..1")
        self._require(self.transport in ("tcp", "udp"), "transport", "tcp or udp")
        self._require(self.decode in ("auto", "cpu", "gpu"), "decode", "auto, cpu or gpu")
        self._require(self.stall_s is None or self.stall_s > 0, "stall_s", "above 0")
        self._require(self.max_age_s > 0, "max_age_s", "above 0")
        self._require(len({line.name for line in self.lines}) == len(self.lines), "lines", "of different names")
        if self.lines and self.tracks is False:
            raise ConfigError(f"camera {self.name!r}: lines need tracks; take its lines away, or tracks = false")
        if is_network_address(self.url) and "@" in authority_of(self.url):
            raise ConfigError(f"camera {self.name!r}: the address must not hold a user; use `camera_from_address`")

    def _require(self, holds: bool, field_name: str, wanted: str) -> None:
        if not holds:
            raise ConfigError(
                f"camera {self.name[:MAX_NAME]!r}: {field_name} must be {wanted}, got {getattr(self, field_name)!r}"
            )

    @property
    def is_tracked(self) -> bool:
        """Whether its objects are followed."""
        return bool(self.tracks or self.lines)

    @property
    def shown_url(self) -> str:
        """The address as anybody may see it: without query and whatever else may be a secret."""
        return public_address(self.url)

    @property
    def address_with_secret(self) -> str:
        """The address with user and password, percent-encoded, for a library that takes them in no other way."""
        if not self.user and not self.password:
            return self.url
        rest = rest_of(self.url)
        secret = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        return f"{self.url[: len(self.url) - len(rest)]}{secret}@{rest}"

    def without_secrets(self, text: str) -> str:
        """A library's message with the camera's address and secrets taken out of it."""
        for secret in (self.address_with_secret, self.url):
            text = text.replace(secret, self.shown_url)
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(secret, "…")
        return text


def address_parts(address: str) -> tuple[str, str, str]:
    """Address without credentials, user, password, from one that may hold them; split at the authority's last @."""
    if not is_network_address(address):
        return address, "", ""
    authority = authority_of(address)
    rest = rest_of(address)
    head = address[: len(address) - len(rest)]
    if "@" not in authority:
        # `rtsp://admin:p/w@cam/live`: a raw slash in the password. Split at the last @ before the path of the host.
        found = re.match(r"([^@\s]*:[^@\s]*)@([^/@\s]+(?:/.*)?)$", rest)
        if found is None or ":" not in authority or re.fullmatch(r"[^:]*:\d*|\[.*\](:\d*)?", authority):
            return address, "", ""
        user, _, password = found[1].partition(":")
        return head + found[2], unquote(user), unquote(password)
    credentials, _, host = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    return head + host + rest[len(authority) :], unquote(user), unquote(password)
