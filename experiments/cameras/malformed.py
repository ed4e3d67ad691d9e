"""What do spoilt RTSP answers, descriptions, RTP and RTCP packets do to the reader of cameras?

    python -m experiments.cameras.malformed --count 10000 --out results/cpu2_cameras_malformed.json

Each input is a whole connection over loopback with a fake camera: one part of what it says is spoilt, byte by byte or
number by number, by a seed that the record names. It must end as a connection does that breaks: with an error of ours,
within ten seconds, and nothing else. What pictures come of it are decoded. Exit 1 when one did not.

Backs: docs/cameras.md, "10,000 spoilt connections"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from photofinish.client.cameras.decode.camera import DecodedCamera
from photofinish.client.cameras.decode.codec import CpuDecoder
from photofinish.client.cameras.ingest.figures import IngestError
from photofinish.client.cameras.ingest.rtsp_reader import read_rtsp
from photofinish.client.cameras.rtsp.messages import RtspMessage, RtspParser, interleaved_bytes, message_bytes
from photofinish.client.cameras.rtsp.rtp import SenderReport, packet_bytes, sender_report_bytes
from photofinish.client.cameras.rtsp.sdp import sdp_of_video
from photofinish.client.cameras.streams.clip import Clip, ClipCodec, clip_from_images
from photofinish.client.cameras.values.access_unit import AccessUnit, StreamInfo
from photofinish.client.cameras.values.camera import Camera
from photofinish.client.cameras.wire.messages import DecodeCamera, OpenStream

Part = Literal["rtsp", "sdp", "rtp", "rtcp"]
PARTS: tuple[Part, ...] = get_args(Part)
HANGS_S = 10.0
IDLE_S = 0.05
"""A fake camera that hears nothing more for so long has ended."""
AT_ONCE = 40
NUMBERS = (b"0", b"-1", b"65536", b"99999999999999999999", b"1e9", b"\xd9\xa3")


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to six things wrong with them."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 7)):
        at = chance.randrange(len(found) + 1)
        size = chance.choice((1, 1, 2, 4, 20))
        kind = chance.randrange(7)
        if kind == 0:
            found[at : at + size] = chance.randbytes(size)
        elif kind == 1:
            del found[at : at + size]
        elif kind == 2:
            found[at:at] = chance.randbytes(size)
        elif kind == 3:
            found[at:at] = found[at : at + 40]
        elif kind == 4:
            del found[at:]
        elif kind == 5 and found:
            found[at % len(found)] ^= 1 << chance.randrange(8)
        elif numbers := list(re.finditer(rb"\d+", found)):
            number = chance.choice(numbers)
            found[number.start() : number.end()] = chance.choice(NUMBERS)
    return bytes(found)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the inputs. failures: seed and what went wrong."""

    ended: dict[str, Counter[str]] = field(default_factory=lambda: {part: Counter() for part in PARTS})
    pictures: Counter[str] = field(default_factory=Counter)
    decoded: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    longest_s: float = 0.0


class SpoiltCamera(asyncio.Protocol):
    """One connection of the fake camera, which spoils one part of what it says."""

    def __init__(self, clip: Clip, part: Part, chance: random.Random) -> None:
        self._clip = clip
        self._part = part
        self._chance = chance
        self._spoilt_answer = chance.randrange(4)
        self._answers = 0
        self._parser = RtspParser()
        self._transport: asyncio.Transport | None = None
        self._ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody watches."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request."""
        for item in self._parser.feed(data):
            if isinstance(item, RtspMessage) and self._transport is not None:
                self._transport.write(self._answer(item))
        if self._ending is not None:
            self._ending.cancel()
        if self._transport is not None:
            self._ending = asyncio.get_running_loop().call_later(IDLE_S, self._transport.close)

    def _answer(self, request: RtspMessage) -> bytes:
        method, _, rest = request.first.partition(" ")
        headers = {"CSeq": request.header("cseq"), "Session": "abc;timeout=60"}
        body = packets = b""
        if method == "DESCRIBE":
            body = sdp_of_video(self._clip.encoding, self._clip.parameter_sets, announced_fps=5)
            if self._part == "sdp":
                body = spoilt(body, self._chance)
            headers |= {"Content-Base": rest.partition(" ")[0], "Content-Type": "application/sdp"}
        elif method == "SETUP":
            headers["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        elif method == "PLAY":
            packets = self._packets()
        answer = message_bytes("RTSP/1.0 200 OK", headers, body)
        if self._part == "rtsp" and self._answers == self._spoilt_answer % 3:
            answer = spoilt(answer, self._chance)
        self._answers += 1
        return answer + packets

    def _packets(self) -> bytes:
        """Two seconds of pictures; where these are spoilt each packet is at one in three."""
        found, sequence, chance = [], chance_start(self._chance), self._chance
        report = SenderReport(ssrc=7, unix_ns=time.time_ns(), timestamp=90_000)
        for number, picture in enumerate(self._clip.pictures):
            control = sender_report_bytes(report, packets=number, octets=number)
            if self._part == "rtcp":
                control = spoilt(control * chance.randrange(1, 4), chance)
            found.append(interleaved_bytes(1, control))
            for at, payload in enumerate(picture.payloads):
                packet = packet_bytes(
                    payload,
                    sequence=sequence,
                    timestamp=90_000 + 18_000 * number,
                    ssrc=7,
                    is_marked=at == len(picture.payloads) - 1,
                )
                sequence += 1
                if self._part == "rtp" and chance.random() < 0.3:
                    packet = spoilt(packet if chance.random() < 0.5 else packet[:16], chance)
                channel = chance.randrange(256) if self._part == "rtp" and chance.random() < 0.02 else 0
                found.append(interleaved_bytes(channel, packet[:65535]))
        data = b"".join(found)
        return spoilt(data, chance) if self._part == "rtp" and chance.random() < 0.2 else data


def chance_start(chance: random.Random) -> int:
    """A first sequence number, near its end now and then."""
    return chance.choice((chance.getrandbits(16), 65_530))


class Decoding:
    """A StreamListener that decodes what comes."""

    def __init__(self, tally: Tally, part: Part) -> None:
        self._tally = tally
        self._part = part
        self._camera = DecodedCamera(DecodeCamera(camera="spoilt", frames_per_s=100), CpuDecoder)

    def on_line(self, line: str) -> None:
        """Nobody reads it."""

    def on_stream(self, info: StreamInfo) -> None:
        """A decoder for it."""
        self._camera.open_stream(OpenStream(camera="spoilt", connection=1, info=info))

    def on_picture(self, data: bytes, **values: Any) -> None:
        """Decode it at once."""
        self._tally.pictures[self._part] += 1
        self._camera.push(AccessUnit(camera="spoilt", connection=1, data=data, **values))
        while self._camera.has_work:
            self._tally.decoded[self._part] += self._camera.step() is not None

    def on_transport(self, lost_packets: int, offset_ms: float | None) -> None:
        """Nobody asks."""


def clip_of_noise(codec: ClipCodec) -> Clip:
    """Ten small pictures, of several packets each."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (96, 160, 3), dtype=np.uint8) for _ in range(10)]
    return clip_from_images(images, codec=codec, bit_rate=2_000_000)


async def try_inputs(seeds: range) -> Tally:
    """Every input once, many at a time."""
    tally = Tally()
    clips = [clip_of_noise("h264"), clip_of_noise("hevc")]
    places = asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()
    unexpected: list[str] = []
    loop.set_exception_handler(lambda _, context: unexpected.append(repr(context.get("exception") or context)))

    async def one(seed: int) -> None:
        part = PARTS[seed % len(PARTS)]
        chance = random.Random(seed)
        async with places:
            server = await loop.create_server(lambda: SpoiltCamera(clips[seed // 4 % 2], part, chance), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            camera = Camera(name="spoilt", url=f"rtsp://127.0.0.1:{port}/cam")
            begun_s = time.monotonic()
            try:
                await asyncio.wait_for(read_rtsp(camera, Decoding(tally, part)), HANGS_S)
                tally.failures.append({"seed": seed, "what": "ended without an error"})
            except IngestError as exc:
                tally.ended[part][exc.problem.value] += 1
            except asyncio.TimeoutError:
                tally.failures.append({"seed": seed, "what": "did not end"})
            except Exception as exc:  # which is what is looked for
                tally.failures.append({"seed": seed, "what": repr(exc)})
            tally.longest_s = max(tally.longest_s, time.monotonic() - begun_s)
            server.close()

    await asyncio.gather(*(one(seed) for seed in seeds))
    await asyncio.sleep(2 * IDLE_S)
    tally.failures += [{"seed": None, "what": text} for text in unexpected]
    return tally


def main() -> int:
    """Try them; write the record, print what matters of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(".photofinish/cameras_malformed.json"))
    options = parser.parse_args()
    begun_s = time.monotonic()
    tally = asyncio.run(try_inputs(range(options.first_seed, options.first_seed + options.count)))
    document = {
        "count": options.count,
        "first_seed": options.first_seed,
        "seconds": round(time.monotonic() - begun_s, 1),
        "longest_s": round(tally.longest_s, 2),
        "ended": {part: dict(sorted(found.items())) for part, found in tally.ended.items()},
        "pictures": dict(tally.pictures),
        "decoded": dict(tally.decoded),
        "failures": tally.failures,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps({**document, "failures": len(tally.failures)}, indent=1) + "\n")
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(main())
