"""A process that serves test streams. Run by `launch.py` with its plan as JSON; it ends with its standard input.

Prints one line of JSON when it serves, with its port, and one every few seconds with how late it sends. A line on its
standard input is answered with one at once; `begin` forgets what was sent before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import cast

from photofinish.client.cameras.streams.clip import (
    Clip,
    ClipCodec,
    clip_from_source,
    is_video_file,
    keyframe_every,
    synthetic_spec,
)
from photofinish.client.cameras.streams.server import StreamServer
from photofinish.client.cameras.streams.stream import TestStream, late_p99_ms

REPORT_EVERY_S = 2.0
LOOK_EVERY_S = 0.05
DIFFERENT_CLIPS = 8
PRIORITY = 20
"""Of real time, below the kernel's own threads, which have 50."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """What one process serves. first: number of its first stream; source: a video, "" for the synthetic camera.

    is_aligned: the keyframes of all streams come at once. cut_every_s: so often every fifth stream loses its
    connections, 0 for never.
    """

    first: int
    count: int
    size_wh: tuple[int, int]
    frames_per_s: float
    seconds: float = 8.0
    source: str = ""
    codec: str = "h264"
    is_aligned: bool = False
    cut_every_s: float = 0.0

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


def is_cut(number: int) -> bool:
    """Whether a stream, from 1, is of the fifth that `cut_every_s` is about."""
    return number % 5 == 0


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


async def serve(plan: StreamPlan, wishes: queue.SimpleQueue[str]) -> None:
    """Serve until the process ends. wishes: what the owner writes."""
    clips = clips_for(plan)
    streams = {
        stream_name(plan.first + number): TestStream(clip=clips[number % len(clips)], frames_per_s=plan.frames_per_s)
        for number in range(plan.count)
    }
    align_s = keyframe_every(plan.frames_per_s) / plan.frames_per_s if plan.is_aligned else 0.0
    async with StreamServer(streams, seed=random.randrange(1 << 30), align_s=align_s) as server:
        _print({"port": server.port})
        next_s = time.monotonic() + REPORT_EVERY_S
        cut_s = time.monotonic() + plan.cut_every_s
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if plan.cut_every_s and time.monotonic() > cut_s:
                cut_s += plan.cut_every_s
                for number in filter(is_cut, range(plan.first, plan.first + plan.count)):
                    server.cut_connections(stream_name(number))
            is_asked = not wishes.empty()
            if is_asked and wishes.get() == "begin":
                for stream in streams.values():
                    stream.late_ns.clear()
            if is_asked or time.monotonic() > next_s:
                next_s = time.monotonic() + REPORT_EVERY_S
                _print(lateness(list(streams.values())))


def lateness(streams: list[TestStream]) -> dict[str, object]:
    """What a line says: P99 and the longest in ms, None while there are too few, and pictures sent since the start."""
    longest_ns = max((max(stream.late_ns) for stream in streams if stream.late_ns), default=None)
    return {
        "late_p99_ms": late_p99_ms(streams),
        "late_max_ms": None if longest_ns is None else longest_ns / 1e6,
        "sent": sum(stream.sent_pictures for stream in streams),
    }


def _print(values: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def run_before_others() -> None:
    """Take real-time priority where this is allowed, as it is to root: a camera does not wait for our processor.

    Streams take a tenth of a core, so nobody starves. A run that has such a priority itself gets the next higher one.
    """
    policy = os.sched_getscheduler(0)
    has_one = policy in (os.SCHED_FIFO, os.SCHED_RR)
    above = min(os.sched_getparam(0).sched_priority + 1, os.sched_get_priority_max(policy)) if has_one else PRIORITY
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy if has_one else os.SCHED_FIFO, os.sched_param(above))


def _listen_to_owner(wishes: queue.SimpleQueue[str]) -> None:
    """Hand its lines on, and leave when it has gone."""
    for line in sys.stdin.buffer:
        wishes.put(line.decode(errors="replace").strip())
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_before_others()
    owners: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen_to_owner, args=(owners,), daemon=True).start()
    asyncio.run(serve(plan_from_text(sys.argv[1]), owners))
