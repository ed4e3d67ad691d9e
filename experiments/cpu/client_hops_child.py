"""The client's process of `client_hops.py`: the pipeline of one checkout, which measures when it is its turn.

    python experiments/cpu/client_hops_child.py JOB

JOB is JSON: `tree`, `url`, `model`, `transport`, `size`. Each line of standard input is a turn of so many frames. It is
run by its path, so that it can drive an older checkout: what is asked of the client has changed its names meanwhile.

Backs: docs/benchmarking-cpu.md, "A frame costs the client"
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import photofinish
from photofinish.client.pipeline.optimised import OptimisedPipeline
from photofinish.client.triton.tensors import write_input
from photofinish.client.triton.transport import choice_from_text
from photofinish.frame import Frame
from photofinish.heads import detections_from_output

COLD_BYTES = 96 << 20
"""Pictures that are gone through in turn, more than the caches next to a core hold."""


def serve_turns(job: Mapping[str, Any]) -> None:
    """The child: open the pipeline, then a turn for each line of standard input."""
    if not Path(str(photofinish.__file__)).is_relative_to(job["tree"]):
        raise SystemExit(f"{photofinish.__file__} was imported instead of {job['tree']}")
    width, height = map(int, job["size"].split("x"))
    random = np.random.default_rng(0)
    images = [
        random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for _ in range(max(2, COLD_BYTES // (3 * width * height)))
    ]
    frames = itertools.cycle(images)
    numbers = itertools.count()

    def taken(count: int) -> Iterator[Frame]:
        for image in itertools.islice(frames, count):
            yield Frame(image_hwc_bgr=image, stream_id="0", index=next(numbers), captured_ns=time.perf_counter_ns())

    pipeline: Any = OptimisedPipeline(
        job["url"], job["model"], transport=choice_from_text(job["transport"]), max_in_flight=1
    )
    with pipeline:
        session, card = pipeline._session, pipeline.card
        written: Any = write_input
        native = getattr(pipeline, "_native", None)
        reading = {"read_rows": native.read_rows} if native else {}

        def hops(count: int) -> dict[str, float]:
            spent_ns = dict.fromkeys(("prepare", "call", "decode"), 0)
            for frame in taken(count):
                slot = session.acquire()
                marks = [time.thread_time_ns()]
                if native is None:
                    image, out = frame.image_hwc_bgr, slot.input_array[0]
                    letterbox = written(image, card.contract, card.input_wh, out, shrink=pipeline._shrink)
                else:
                    letterbox = slot.write(0, frame.image_hwc_bgr, card, native.resize)
                marks.append(time.thread_time_ns())
                output = session.infer(slot)
                marks.append(time.thread_time_ns())
                detections_from_output(output[0], card, letterbox, **reading)
                marks.append(time.thread_time_ns())
                session.release(slot)
                for hop, begun_ns, ended_ns in zip(spent_ns, marks, marks[1:], strict=False):
                    spent_ns[hop] += ended_ns - begun_ns
            return {hop: ns / count / 1e3 for hop, ns in spent_ns.items()}

        def process(count: int) -> None:
            for frame in taken(count):
                pipeline.process(frame)

        def run(count: int) -> None:
            for _ in pipeline.run(taken(count)):
                pass

        with echo() as exchange:
            process(20)
            for line in sys.stdin:
                count = int(line)
                wall_ns, before = time.perf_counter_ns(), threads_ns()
                answer: dict[str, Any] = {"all": spent_us(process, count)}
                answer["wall"] = (time.perf_counter_ns() - wall_ns) / count / 1e3
                answer["others"] = others_us(before, count)
                answer |= {"run": spent_us(run, count), **hops(count), "socket": exchange(count)}
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()


def spent_us(work: Callable[[int], None], count: int) -> float:
    """Processor time of this whole process a frame, in microseconds."""
    before_ns = time.process_time_ns()
    work(count)
    return (time.process_time_ns() - before_ns) / count / 1e3


def threads_ns() -> dict[str, tuple[str, int]]:
    """By id of each thread of this process but the calling one: its name, and nanoseconds on a processor."""
    found: dict[str, tuple[str, int]] = {}
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != os.getpid():
            found[task.name] = (
                (task / "comm").read_text().strip(),
                int((task / "schedstat").read_text().split()[0]),
            )
    return found


def others_us(before: Mapping[str, tuple[str, int]], count: int) -> dict[str, float]:
    """Microseconds a frame that threads other than the caller's used since `before`, by their name."""
    used: dict[str, float] = {}
    for task, (name, ns) in threads_ns().items():
        used[name] = used.get(name, 0.0) + (ns - before.get(task, ("", 0))[1]) / count / 1e3
    return {name: round(us, 1) for name, us in used.items() if us >= 0.1}


@contextmanager
def echo() -> Iterator[Callable[[int], float]]:
    """What an exchange with another process costs in plain Python: 600 bytes there, 7,600 back."""
    answer_size, request = 7600, b"x" * 600
    code = (
        "import socket,sys\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\n"
        f"c,_=s.accept()\nwhile c.recv(65536): c.sendall(b'y'*{answer_size})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        port = int(other.stdout.readline()) if other.stdout else 0
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def exchange(count: int) -> float:
                before_ns = time.thread_time_ns()
                for _ in range(count):
                    connection.sendall(request)
                    missing = answer_size
                    while missing > 0:
                        missing -= len(connection.recv(1 << 18))
                return (time.thread_time_ns() - before_ns) / count / 1e3

            yield exchange


if __name__ == "__main__":
    serve_turns(json.loads(sys.argv[1]))
