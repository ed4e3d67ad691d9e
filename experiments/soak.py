"""Memory under a long mixed load: does the server, or its client, grow?

    python -m experiments.soak --repository model_repository --model yolo26n_onnx_fp16 --seconds 600 > soak.json

Clients send batches of random size over every transport that the machine has, and reconnect every few seconds, so that
regions are made and given back all the time. Every `--every` seconds the memory of the server's processes is read: on
the GPU as the driver counts it, on the host without shared memory. Prints one JSON document; exit 1 when the second
half holds more than the first by over `--limit` percent and 32 MiB, or when a request failed.

Backs: docs/benchmarking-goals.md, "GPU memory of the server 0.0 %, host memory +2.4 %"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from experiments.served import served
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import (
    CUDA_SHM,
    CUDA_SHM_HTTP,
    GRPC,
    SYSTEM_SHM,
    SYSTEM_SHM_HTTP,
)
from photofinish.errors import PhotofinishError
from photofinish.machine.gpu import load_nvml
from photofinish.percentiles import nearest_rank

ON_CPU = (SYSTEM_SHM_HTTP, SYSTEM_SHM, GRPC)
ON_GPU = (CUDA_SHM_HTTP, CUDA_SHM, *ON_CPU)
LARGEST_BATCH = 8
SLACK_BYTES = 32 << 20


@dataclass(slots=True)
class SoakTally:
    """What the clients have done so far. images: by transport."""

    images: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, transport: str, images: int) -> None:
        """A session has ended."""
        with self.lock:
            self.images[transport] += images
            self.sessions += 1


def send_until(
    stop: threading.Event,
    url: str,
    model: ServedModel,
    index: int,
    session_s: float,
    tally: SoakTally,
    pause_s: float = 0.0,
) -> None:
    """One client: session after session, each over another transport, with batches of random size.

    pause_s: between two requests, for a machine that others work on too.
    """
    generator = np.random.default_rng(index)
    transports = ON_GPU if model.require_card().device == "cuda" else ON_CPU
    largest = max(1, min(LARGEST_BATCH, model.max_batch_size))
    turn = index
    while not stop.is_set():
        transport = transports[turn % len(transports)]
        turn += 1
        images = 0
        try:
            with Session(url, model, transport=transport, slots=1, batch_size=largest, timeout_s=60) as session:
                slot = session.acquire()
                noise = generator.integers(0, 256, slot.input_array.shape, dtype=np.uint8)
                slot.input_array[...] = noise
                until = time.monotonic() + session_s
                while time.monotonic() < until and not stop.is_set():
                    count = int(generator.integers(1, largest + 1))
                    session.infer(slot, count)
                    images += count
                    stop.wait(pause_s)
        except PhotofinishError as exc:
            with tally.lock:
                tally.errors.append(f"{transport}: {exc}")
            stop.wait(1.0)
        tally.add(str(transport), images)


def memory_of(pid: int, nvml: Any | None) -> dict[str, int]:
    """Bytes: of this client on the host, of the server's processes on the host, and of those on all GPUs.

    On the host only what belongs to one process alone counts (USS), since regions of shared memory come and go.
    """
    root = psutil.Process(pid)
    processes = [root, *root.children(recursive=True)]
    found = {"client_host": psutil.Process().memory_full_info().uss, "server_host": 0}
    for process in processes:
        try:
            found["server_host"] += process.memory_full_info().uss
        except psutil.Error:
            continue
    if nvml is not None:
        pids = {process.pid for process in processes}
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        users = [user for handle in handles for user in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        found["server_gpu"] = sum(user.usedGpuMemory or 0 for user in users if user.pid in pids)
        found["device_gpu"] = sum(nvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles)
    return found


def growth(samples: list[dict[str, float]], key: str) -> dict[str, float]:
    """Median of each half after the first tenth, in bytes, and what the second holds more, in percent."""
    values = [sample[key] for sample in samples[len(samples) // 10 :]]
    half = max(1, len(values) // 2)
    first, second = (nearest_rank(np.array(side), 0.5) for side in (values[:half], values[half:] or values))
    return {
        "first_half_bytes": first,
        "second_half_bytes": second,
        "grown_percent": round(100 * (second / first - 1), 3) if first else 0.0,
    }


def run(repository: Path, names: tuple[str, ...], options: argparse.Namespace) -> dict[str, Any]:
    """Load for `options.seconds`; the document."""
    nvml = load_nvml()
    tally, stop = SoakTally(), threading.Event()
    samples: list[dict[str, float]] = []
    with served(repository, names, options.log) as server:
        url = server.url
        with TritonClient(url) as client:
            models = client.models()
        with ThreadPoolExecutor(options.clients) as pool:
            running = [
                pool.submit(send_until, stop, url, models[index % len(models)], index, options.session_seconds, tally)
                for index in range(options.clients)
            ]
            begun = time.monotonic()
            try:
                while (spent := time.monotonic() - begun) < options.seconds and server.is_alive():
                    with contextlib.suppress(psutil.NoSuchProcess):  # it ended just now
                        samples.append({"second": round(spent, 1), **memory_of(server.process.pid, nvml)})
                    time.sleep(options.every)
            finally:
                stop.set()
            for future in running:
                future.result()
        alive = server.is_alive()
    keys = [key for key in samples[0] if key != "second"] if samples else []
    return {
        "models": [model.name for model in models],
        "clients": options.clients,
        "seconds": options.seconds,
        "images": dict(tally.images),
        "sessions": tally.sessions,
        "errors": tally.errors[:10],
        "server_survived": alive,
        "growth": {key: growth(samples, key) for key in keys},
        "samples": samples,
    }


def grew(document: dict[str, Any], limit_percent: float) -> list[str]:
    """The kinds of memory that grew by more than the limit."""
    found = []
    for key, item in document["growth"].items():
        more = item["second_half_bytes"] - item["first_half_bytes"]
        if item["grown_percent"] > limit_percent and more > SLACK_BYTES:
            found.append(key)
    return found


def main() -> int:
    """Run; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", action="append", default=[], help="only these; may be repeated")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--session-seconds", type=float, default=5.0, help="how long a client stays connected")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two readings")
    parser.add_argument("--limit", type=float, default=2.0, help="percent")
    parser.add_argument("--log", type=Path, default=Path(".photofinish/logs/soak.log"))
    options = parser.parse_args()
    document = run(options.repository, tuple(options.model), options)
    document["grew"] = grew(document, options.limit)
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return int(bool(document["grew"] or document["errors"] or not document["server_survived"]))


if __name__ == "__main__":
    sys.exit(main())
