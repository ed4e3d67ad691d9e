"""A process that serves test streams. Run by `launch.py` with its plan as JSON; it ends with its standard input.

Prints one line of JSON when it serves, with its port, and one every few seconds with how late it sends.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from typing import cast

from photofinish.client.cameras.streams.clip import (
    Clip,
    ClipCodec,
    clip_from_source,
    is_video_file,
    synthetic_spec,
)
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import TestStream, late_p99_ms

REPORT_EVERY_S = 2.0
DIFFERENT_CLIPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What one process serves. first: number of its first stream; source: a video, "" for the synthetic camera."""

    first: int
    count: int
    size_wh: tuple[int, int]
    frames_per_s: float
    seconds: float = 8.0
    source: str = ""
    codec: str = "h264"

    def to_text(self) -> str:
        """As it travels on the command line."""
        return json.dumps(asdict(self))


def plan_from_text(text: str) -> StreamPlan:
    """The plan that `to_text` wrote."""
    values = json.loads(text)
    return StreamPlan(**{**values, "size_wh": tuple(values["size_wh"])})


def stream_name(number: int) -> str:
    """The path of a stream, from 1."""
    return f"test-{number:03d}"


def clips_for(plan: StreamPlan) -> list[Clip]:
    """Up to eight clips: eight seeds of the synthetic camera, or parts of the video half a second apart."""
    clips = []
    for number in range(min(plan.count, DIFFERENT_CLIPS)):
        seed = (plan.first + number) % 1000
        is_video = is_video_file(plan.source)
        clips.append(
            clip_from_source(
                plan.source or synthetic_spec(seed, plan.size_wh, plan.frames_per_s),
                size_wh=plan.size_wh,
                frames_per_s=plan.frames_per_s,
                seconds=plan.seconds,
                skip_frames=15 * number if is_video else 0,
                codec=cast(ClipCodec, plan.codec),
            )
        )
    return clips


async def serve(plan: StreamPlan) -> None:
    """Serve until the process ends."""
    clips = clips_for(plan)
    streams = {
        stream_name(plan.first + number): TestStream(clip=clips[number % len(clips)], frames_per_s=plan.frames_per_s)
        for number in range(plan.count)
    }
    async with StreamServer(streams, seed=random.randrange(1 << 30)) as server:
        _print({"port": server.port})
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            sent = sum(stream.sent_pictures for stream in streams.values())
            _print({"late_p99_ms": late_p99_ms(list(streams.values())), "sent": sent})


def _print(values: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _leave_with_owner() -> None:
    while sys.stdin.buffer.read(1 << 16):
        pass
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_owner, daemon=True).start()
    asyncio.run(serve(plan_from_text(sys.argv[1])))
