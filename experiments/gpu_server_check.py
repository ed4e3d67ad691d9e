"""One run on a GPU machine: every served variant is right under mixed load, and what serving costs over the engine.

    python -m experiments.gpu_server_check --repository model_repository [--seconds 4] > check.json

The reference is the FP32 ONNX artifact, run on the CPU in this process. Frames are new on every run. Prints one JSON
document; progress on stderr; exit 1 when an answer is wrong.

Backs: docs/benchmarking-goals.md, "Reached: 0 wrong of 759 (compiled FP16)"
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.eager import percentiles_ms
from experiments.gpu_reference import Array, Checker, fresh_frames, input_from_frames, reference_rows
from experiments.served import served
from photofinish.client.triton.served import ServedModel, TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import (
    CUDA_SHM,
    CUDA_SHM_HTTP,
    GRPC,
    SYSTEM_SHM,
    SYSTEM_SHM_HTTP,
    Transport,
)
from photofinish.errors import InferenceError, PhotofinishError
from photofinish.export.graph.session import output_from_onnx
from photofinish.machine.gpu import load_nvml
from photofinish.perf.load.loops import run_closed_loop

POOL = 24
LOADS = ((1, 32), (8, 8), (32, 4))
"""Batch size and clients of each throughput measurement, for one GPU."""
ON_CPU = (SYSTEM_SHM_HTTP, SYSTEM_SHM, GRPC)
ON_GPU = (CUDA_SHM_HTTP, CUDA_SHM)


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def transports_for(model: ServedModel) -> tuple[Transport, ...]:
    """Every transport that the model's device has."""
    return (*(ON_GPU if model.require_card().device == "cuda" else ()), *ON_CPU)


def check_under_load(
    url: str, model: ServedModel, frames: Array, checker: Checker, clients: int, seconds: float
) -> dict[str, Any]:
    """Many clients at once, random batch sizes, all transports mixed; every answer is compared."""
    transports = transports_for(model)
    deadline = time.monotonic() + seconds
    errors: list[str] = []

    def client(index: int) -> int:
        generator = np.random.default_rng(index)
        largest = min(8, max(model.max_batch_size, 1))
        transport = transports[index % len(transports)]
        done = 0
        with Session(url, model, transport=transport, slots=1, batch_size=largest, timeout_s=60) as session:
            while time.monotonic() < deadline or done < 2:
                picks = generator.integers(0, len(frames), int(generator.integers(1, largest + 1)))
                slot = session.acquire()
                slot.input_array[: len(picks)] = frames[picks]
                try:
                    checker.check(list(picks), session.infer(slot, len(picks)))
                except PhotofinishError as exc:
                    errors.append(str(exc))
                    return done
                session.release(slot)
                done += len(picks)
        return done

    with ThreadPoolExecutor(clients) as pool:
        done = sum(pool.map(client, range(clients)))
    return {
        "frames": done,
        "wrong": len(checker.wrong),
        "examples": checker.wrong[:5],
        "errors": errors[:5],
        "worst_confidence": round(checker.worst_confidence, 5),
        "worst_box_px": round(checker.worst_box_px, 3),
    }


def latencies_ms(
    url: str, model: ServedModel, frames: Array, transport: Transport, batch_size: int, seconds: float
) -> dict[str, Any]:
    """One client, one request at a time."""
    with Session(url, model, transport=transport, slots=1, batch_size=batch_size, timeout_s=60) as session:
        slot = session.acquire()
        slot.input_array[:] = frames[:batch_size]

        def send(index: int) -> None:
            session.infer(slot)

        run_closed_loop(send, seconds=min(1.0, seconds))
        samples = run_closed_loop(send, seconds=seconds)
        session.release(slot)
    if samples.failed:
        raise InferenceError(f"{len(samples.failed)} of {samples.request_count} requests failed", model=model.name)
    spent = samples.latency_ns / 1e6
    return {"requests": len(spent), **percentiles_ms(spent), "min_ms": round(float(spent.min()), 3)}


def throughput(
    url: str,
    model: ServedModel,
    frames: Array,
    transport: Transport,
    batch_size: int,
    clients: int,
    seconds: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Images per second with `clients` requests of `batch_size` in flight. Ctrl-C stops the clients first."""
    stop = threading.Event()
    counts = [0] * clients

    def client(index: int, session: Session) -> None:
        slot = session.acquire()
        slot.input_array[:] = np.resize(frames, slot.input_array.shape)
        while not stop.is_set():
            session.infer(slot)
            counts[index] += batch_size
        session.release(slot)

    with ExitStack() as opened, ThreadPoolExecutor(clients) as pool:
        sessions = [
            opened.enter_context(Session(url, model, transport=transport, slots=1, batch_size=batch_size, timeout_s=60))
            for _ in range(clients)
        ]
        running = [pool.submit(client, index, session) for index, session in enumerate(sessions)]
        try:
            sleep(1.0)
            before, begun = sum(counts), time.perf_counter()
            sleep(seconds)
            images, spent = sum(counts) - before, time.perf_counter() - begun
        finally:
            stop.set()  # Ctrl-C too: the pool waits for its clients
        for future in running:
            future.result()
    return {
        "transport": str(transport),
        "batch": batch_size,
        "clients": clients,
        "images_per_s": round(images / spent, 1),
    }


def main() -> int:
    """Run everything; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", action="append", default=[], help="only these; may be repeated")
    parser.add_argument("--clients", type=int, default=32, help="at once, while answers are compared")
    parser.add_argument("--instances", type=int, default=1, help="of every model")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--log", type=Path, default=Path(".photofinish/logs/gpu_server_check.log"))
    args = parser.parse_args()
    with with_instances(args.repository, args.instances) as repository:
        document = run(repository, tuple(args.model), args.clients, args.seconds, args.seed, args.log)
    document["instances"] = args.instances
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    models = document["models"].values()
    return int(any(item["correct"]["wrong"] or item["correct"]["errors"] for item in models))


@contextmanager
def with_instances(repository: Path, count: int) -> Iterator[Path]:
    """A copy of the repository whose models have `count` instances; the artifacts are links to the original's."""
    with tempfile.TemporaryDirectory(prefix="photofinish-instances-") as name:
        for config in repository.glob("*/config.pbtxt"):
            folder = Path(name) / config.parent.name
            folder.mkdir()
            text = re.sub(r"(instance_group\s*\[?\s*\{[^}]*?count:\s*)\d+", rf"\g<1>{count}", config.read_text())
            (folder / "config.pbtxt").write_text(text)
            for version in config.parent.glob("[0-9]*"):
                (folder / version.name).symlink_to(version.resolve())
        yield Path(name)


def run(repository: Path, names: tuple[str, ...], clients: int, seconds: float, seed: int, log: Path) -> dict[str, Any]:
    """The whole check as one JSON-able document. Load grows with the number of GPUs."""
    gpus = visible_gpus()
    document: dict[str, Any] = {"seed": seed, "seconds": seconds, "gpus": gpus, "models": {}}
    begun = time.monotonic()
    with served(repository, names, log) as server, TritonClient(server.url, timeout_s=60) as client:
        url = server.url
        document["ready_s"] = round(time.monotonic() - begun, 1)
        cards = [(model, model.require_card()) for model in client.models()]
        shapes = {card.input_wh: fresh_frames(POOL, card.input_wh, seed) for _, card in cards}
        references = {input_wh: reference_rows(repository, frames) for input_wh, frames in shapes.items()}
        for model, card in cards:
            say(f"{model.name}")
            frames = shapes[card.input_wh]
            pictures = input_from_frames(card, frames)
            own = repository / model.name / "1" / "model.onnx"
            # What INT8 makes of a picture differs from FP32 more than a picture of another request might.
            is_int8 = card.precision == "int8" and own.is_file()
            checker = Checker(card, output_from_onnx(own, frames) if is_int8 else references[card.input_wh])
            transports = transports_for(model)
            loads = [(batch, threads * gpus) for batch, threads in LOADS if batch <= model.max_batch_size]
            document["models"][model.name] = {
                "device": card.device,
                "precision": card.precision,
                "cuda_graphs": card.cuda_graphs,
                "correct": check_under_load(url, model, pictures, checker, clients, seconds),
                "latency": {
                    str(transport): attempt(partial(latencies_ms, url, model, pictures, transport, 1, seconds))
                    for transport in transports
                },
                "throughput": [
                    attempt(partial(throughput, url, model, pictures, transport, batch, threads, seconds))
                    for transport in transports
                    if transport.call == "http"
                    for batch, threads in loads
                ],
            }
            say(json.dumps(document["models"][model.name]))
        document["log"] = telling_lines(log)
    return document


def visible_gpus() -> int:
    """GPUs that the server will use: all of the machine, or those that CUDA_VISIBLE_DEVICES names; at least 1."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    nvml = load_nvml()
    count = len([name for name in named.split(",") if name.strip()]) if named else 0
    return count or (int(nvml.nvmlDeviceGetCount()) if nvml else 1)


def attempt(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The measurement, or why there is none."""
    try:
        return measure()
    except PhotofinishError as exc:
        return {"not_measured": str(exc)}


def telling_lines(log: Path) -> list[str]:
    """Memory and stage times that the backends wrote, the last of each kind and model."""
    last: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        if found := re.match(r"(photofinish(-trace)?:? \S+)", line):
            last[found[1] + ("gpu" if "gpu memory" in line else "")] = line
    return list(last.values())


if __name__ == "__main__":
    sys.exit(main())
