"""One test stream: a clip, its rate, and the faults that are injected while it runs."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import numpy as np

from photofinish.client.cameras.rtsp.messages import interleaved_bytes
from photofinish.client.cameras.rtsp.rtp import SenderReport, packet_bytes, sender_report_bytes
from photofinish.client.cameras.streams.clip import Clip
from photofinish.percentiles import carried_percentile

CLOCK_RATE = 90_000
REPORT_EVERY_S = 5.0
MAX_UNSENT = 4 << 20
"""A watcher that does not read loses pictures here, as it does at a camera."""


@dataclass(slots=True, kw_only=True)
class StreamFaults:
    """What is wrong with a stream; may be changed at any time, and concerns connections from then on or all at once.

    status: every DESCRIBE is answered with it (401 asks for a password that nobody has). refuse_tcp: 461 at SETUP.
    stalled: no more pictures, sender reports go on; dead: nothing is sent at all and no request is answered.
    no_keyframe: pictures and descriptions without anything to begin with. clock_offset_s: how wrong the camera's clock
    is. has_clock: whether there are sender reports. announced_fps: instead of the true rate. loss: share of packets
    that are left out. garbage: payloads are random bytes. describe_delay_s: before DESCRIBE is answered.
    """

    status: int = 0
    refuse_tcp: bool = False
    stalled: bool = False
    dead: bool = False
    no_keyframe: bool = False
    clock_offset_s: float = 0.0
    has_clock: bool = True
    announced_fps: float | None = None
    loss: float = 0.0
    garbage: bool = False
    describe_delay_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class TestStream:
    """What a path of the server shows. user: "" for anybody. clip may be exchanged: it counts from the next connection.

    late_ns: how much later than planned each picture was sent, the newest last.
    """

    __test__ = False  # pytest takes every class Test… for tests

    clip: Clip
    frames_per_s: float = 5.0
    user: str = ""
    password: str = field(default="", repr=False)
    algorithm: str = "MD5"
    faults: StreamFaults = field(default_factory=StreamFaults)
    late_ns: list[int] = field(default_factory=list)
    sent_pictures: int = 0
    connections: int = 0

    def note_sent(self, late_ns: int) -> None:
        """A picture went out so much later than planned."""
        self.sent_pictures += 1
        self.late_ns.append(late_ns)
        if len(self.late_ns) > 20_000:
            del self.late_ns[:10_000]


def late_p99_ms(streams: list[TestStream]) -> float | None:
    """How late the streams' pictures are sent, all together; None while there are too few."""
    late = np.array([late for stream in streams for late in stream.late_ns], dtype=np.int64)
    found = carried_percentile(late, 0.99)
    return None if found is None else found / 1e6


class StreamSender:
    """Makes the bytes of one connection, picture by picture. The clip begins anew, with a keyframe, for each."""

    def __init__(self, stream: TestStream, channel: int, chance: random.Random) -> None:
        """channel: of RTP; RTCP has the next one."""
        self._stream = stream
        self._clip = stream.clip
        self._channel = channel
        self._chance = chance
        self._ssrc = chance.getrandbits(32)
        self._sequence = chance.getrandbits(16)
        self._base = chance.getrandbits(32)
        self._packets = self._octets = 0
        self._reported_s = -REPORT_EVERY_S

    def timestamp(self, media_s: float) -> int:
        """The RTP time of a moment of the stream."""
        return (self._base + round(media_s * CLOCK_RATE)) & 0xFFFFFFFF

    def picture(self, index: int, media_s: float) -> bytes:
        """The packets of picture `index`, shown `media_s` after the connection's first; b"" where a fault eats it."""
        faults = self._stream.faults
        picture = self._clip.pictures[index % len(self._clip.pictures)]
        if faults.stalled or faults.dead or (faults.no_keyframe and picture.is_keyframe):
            return b""
        parts = []
        for number, payload in enumerate(picture.payloads):
            is_last = number == len(picture.payloads) - 1
            packet = packet_bytes(
                self._chance.randbytes(len(payload)) if faults.garbage else payload,
                sequence=self._sequence,
                timestamp=self.timestamp(media_s),
                ssrc=self._ssrc,
                is_marked=is_last,
            )
            self._sequence += 1
            self._packets, self._octets = self._packets + 1, self._octets + len(payload)
            if not (faults.loss and self._chance.random() < faults.loss):
                parts.append(interleaved_bytes(self._channel, packet))
        return b"".join(parts)

    def report(self, media_s: float) -> bytes:
        """A sender report when one is due, else b""."""
        faults = self._stream.faults
        if not faults.has_clock or faults.dead or media_s - self._reported_s < REPORT_EVERY_S:
            return b""
        self._reported_s = media_s
        unix_ns = time.time_ns() + round(faults.clock_offset_s * 1e9)
        report = SenderReport(ssrc=self._ssrc, unix_ns=unix_ns, timestamp=self.timestamp(media_s))
        return interleaved_bytes(
            self._channel + 1, sender_report_bytes(report, packets=self._packets, octets=self._octets)
        )
