"""The first video track of a session description (RFC 4566), read and written."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from photofinish.client.cameras.values.access_unit import sane_fps

MAX_NAME = 40
DIRECT_CODECS: Mapping[str, str] = {"H264": "h264", "H265": "hevc"}
"""What our own reader takes apart, by the name in the description, and FFmpeg's name of it."""
_STATIC = {"26": ("JPEG", 90000), "32": ("MPV", 90000)}
_SETS = {"h264": ("sprop-parameter-sets",), "hevc": ("sprop-vps", "sprop-sps", "sprop-pps")}


class NoVideoError(ValueError):
    """The description has no video track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """encoding: as the description has it, in capitals; control: where to set the track up, "" for the whole session.

    parameter_sets: what a decoder needs before the first picture, without start codes.
    """

    encoding: str
    payload_type: int
    clock_rate: int = 90000
    control: str = ""
    session_control: str = ""
    parameter_sets: tuple[bytes, ...] = ()
    announced_fps: float | None = None

    @property
    def codec(self) -> str:
        """FFmpeg's name of a coding that our reader takes apart, "" for others."""
        return DIRECT_CODECS.get(self.encoding, "")


def video_track_from_sdp(text: str) -> VideoTrack:
    """The first video track; audio and what else there is are passed over. Raises NoVideoError."""
    session: dict[str, str] = {}
    video: dict[str, str] | None = None
    payload_type = ""
    for line in text.replace("\r", "\n").split("\n"):
        kind, equals, value = line.strip().partition("=")
        if not equals:
            continue
        if kind == "m":
            if video is not None:
                break
            words = value.split()
            if words[:1] == ["video"] and len(words) >= 4 and words[3].isascii() and words[3].isdigit():
                video, payload_type = {}, words[3][:3]
            else:
                session = {**session, "in other": "yes"}
        elif kind == "a":
            name, _, rest = value.partition(":")
            target = video if video is not None else (session if "in other" not in session else {})
            if name in ("rtpmap", "fmtp"):
                number, _, rest = rest.partition(" ")
                if number != payload_type:
                    continue
            target.setdefault(name, rest.strip())
    if video is None:
        raise NoVideoError("the camera's description has no video track")
    encoding, clock_rate = _encoding(video, payload_type)
    codec = DIRECT_CODECS.get(encoding, "")
    return VideoTrack(
        encoding=encoding,
        payload_type=int(payload_type),
        clock_rate=clock_rate,
        control=video.get("control", ""),
        session_control=session.get("control", ""),
        parameter_sets=_parameter_sets(video.get("fmtp", ""), codec),
        announced_fps=_fps(video.get("framerate", "")),
    )


def control_url(base: str, track: VideoTrack) -> str:
    """Where to SETUP the track. base: Content-Base of the description, or the address that was asked."""
    return _joined(_joined(base, track.session_control), track.control)


def session_url(base: str, track: VideoTrack) -> str:
    """Where to PLAY."""
    return _joined(base, track.session_control)


def _joined(base: str, control: str) -> str:
    if control in ("", "*"):
        return base
    if control.lower().startswith(("rtsp://", "rtsps://")):
        return control
    if control.startswith("/"):
        parts = urlsplit(base)
        return f"{parts.scheme}://{parts.netloc}{control}"
    return f"{base.rstrip('/')}/{control}"


def _encoding(video: Mapping[str, str], payload_type: str) -> tuple[str, int]:
    name, _, rate = video.get("rtpmap", "").partition("/")
    if not name:
        return _STATIC.get(payload_type, ("", 90000))
    rate = rate.partition("/")[0]
    return name.strip().upper()[:MAX_NAME], int(rate) if rate.isascii() and rate.isdigit() and 0 < int(
        rate[:10]
    ) < 10**9 else 90000


def _parameter_sets(fmtp: str, codec: str) -> tuple[bytes, ...]:
    given = {name.strip().lower(): value for name, _, value in (item.partition("=") for item in fmtp.split(";"))}
    found = []
    for name in _SETS.get(codec, ()):
        for text in given.get(name, "").split(","):
            try:
                found.append(base64.b64decode(text.strip(), validate=False))
            except (binascii.Error, ValueError):
                continue
    return tuple(item for item in found if item)


def _fps(text: str) -> float | None:
    try:
        return sane_fps(float(text.split()[0]))
    except (ValueError, IndexError, OverflowError):
        return None


def sdp_of_video(
    encoding: str, parameter_sets: Iterable[bytes], *, announced_fps: float | None, control: str = "track1"
) -> bytes:
    """A description of one video track with payload type 96, as a camera gives it."""
    encoded = [base64.b64encode(item).decode() for item in parameter_sets]
    if encoding == "H264":
        fmtp = f"packetization-mode=1;sprop-parameter-sets={','.join(encoded)}"
    else:
        fmtp = ";".join(f"{name}={value}" for name, value in zip(_SETS["hevc"], encoded, strict=False))
    lines = [
        *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"),
        *("m=audio 0 RTP/AVP 0", "a=control:audio", "m=video 0 RTP/AVP 96", f"a=rtpmap:96 {encoding}/90000"),
        *(f"a=fmtp:96 {fmtp}", f"a=control:{control}"),
        *([f"a=framerate:{announced_fps:g}"] if announced_fps else []),
    ]
    return ("\r\n".join(lines) + "\r\n").encode()
