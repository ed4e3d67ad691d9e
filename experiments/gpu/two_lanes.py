"""Pictures a second served with one and with two lanes, in turn, beside the engine in a bare loop on this GPU.

    python -m experiments.gpu.two_lanes --model demo_traffic_aoti_fp16_rect > two_lanes.json
    python -m experiments.gpu.two_lanes --sleep-ms 1 --processes 1 > rehearsal.json

Two servers run beside each other, one with PHOTOFINISH_LANES=2; one measurement at a time, in the order A B B A, each
round with the bare loop. Clients have processes of their own, so that none of them is the limit, and send prepared
pictures by system shared memory and HTTP. --sleep-ms needs no GPU: an engine that sleeps so long for every execution
stands in for one. `PHOTOFINISH_LANES=2 python -m experiments.gpu_server_check` asks whether answers are right.

Backs: docs/decisions.md, "No GPU has been measured with two lanes"
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.eager import percentiles_ms
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import SYSTEM_SHM_HTTP
from photofinish.errors import InferenceError
from photofinish.flows.bench import artifacts_in
from photofinish.machine.triton_metrics import read_metrics, sum_of
from photofinish.percentiles import nearest_rank
from photofinish.perf.engine.measuring import measure_engines
from photofinish.server.backend.model import LANES
from photofinish.server.triton import run_folder
from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

LOADS = ((8, 8), (32, 4), *((1, clients) for clients in (1, 2, 4, 8, 16)))
"""Batch size and clients."""
SLEEPER = "sleeper"
CONFIG = """name: "sleeper" backend: "pytorch" max_batch_size: 32
input [{name: "frames" data_type: TYPE_UINT8 dims: [384, 640, 3]}]
output [{name: "detections" data_type: TYPE_FP32 dims: [300, 6]}]
instance_group [{count: 1 kind: KIND_CPU}] dynamic_batching {}
"""
ENGINE = """
import time
import numpy as np
from ..engine import CpuEngine

def open_engine(model):
    return Sleeper()

class Sleeper(CpuEngine):
    def run(self, parts):
        rows = [part[0].shape[0] for part in parts]
        time.sleep({seconds})
        return [[np.zeros((count, 300, 6), np.float32)] for count in rows]

    def run_arrays(self, arrays):
        return [np.zeros((len(arrays[0]), 300, 6), np.float32)]
"""


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def run_clients(job: dict[str, Any]) -> None:
    """The child: so many closed loops; says that it is ready, waits for a line, prints what was answered in time."""
    with TritonClient(job["url"]) as client:
        model = client.model(job["model"])
    until = [float("inf")]
    taken: list[list[int]] = [[] for _ in range(job["clients"])]
    go = threading.Event()
    with ExitStack() as opened:
        sessions = [
            opened.enter_context(
                Session(job["url"], model, transport=SYSTEM_SHM_HTTP, slots=1, batch_size=job["batch"])
            )
            for _ in taken
        ]

        def client_loop(session: Session, found: list[int]) -> None:
            slot = session.acquire()
            pixels = np.random.default_rng(0).integers(0, 256, slot.input_array.shape[1:], dtype=np.uint8)
            slot.input_array[:] = pixels
            session.infer(slot)
            while (begun_ns := time.perf_counter_ns()) < until[0]:
                session.infer(slot)
                if go.is_set() and time.perf_counter_ns() < until[0]:
                    found.append(time.perf_counter_ns() - begun_ns)
            session.release(slot)

        threads = [threading.Thread(target=client_loop, args=pair) for pair in zip(sessions, taken, strict=True)]
        for thread in threads:
            thread.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        until[0] = time.perf_counter_ns() + job["seconds"] * 1e9
        go.set()
        for thread in threads:
            thread.join()
    sys.stdout.write(json.dumps(list(itertools.chain.from_iterable(taken))) + "\n")


def images_per_s(
    server: ServerEndpoint, model: str, batch: int, clients: int, seconds: float, processes: int
) -> dict[str, Any]:
    """Pictures a second of so many closed loops, spread over so many processes; what a request took, and the batch."""
    before = inferences_and_executions(server, model)
    shares = [len(range(index, clients, processes)) for index in range(min(processes, clients))]
    children = []
    for share in shares:
        job = {"url": server.grpc_url, "model": model, "batch": batch, "clients": share, "seconds": seconds}
        command = [sys.executable, "-m", "experiments.gpu.two_lanes", "--client", json.dumps(job)]
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    taken: list[int] = []
    try:
        for child in children:
            if not child.stdout or child.stdout.readline() != "ready\n":
                raise InferenceError("a client did not start; its message is above", model=model)
        for child in children:
            if child.stdin:
                child.stdin.write("go\n")
                child.stdin.flush()
        for child in children:
            taken += json.loads(child.stdout.readline() if child.stdout else "[]")
            child.wait()
    finally:
        for child in children:
            child.kill()
    after = inferences_and_executions(server, model)
    joined = {"mean_server_batch": round((after[0] - before[0]) / (after[1] - before[1]), 2)}
    return {"images_per_s": round(len(taken) * batch / seconds, 1), **joined, **percentiles_ms(np.array(taken) / 1e6)}


def inferences_and_executions(server: ServerEndpoint, model: str) -> tuple[float, float]:
    """Triton's own counts since the server began."""
    metrics = read_metrics(server.metrics_url)
    return sum_of(metrics, "nv_inference_count", model=model), sum_of(metrics, "nv_inference_exec_count", model=model)


@contextmanager
def both_served(repository: Path, model: str, log: Path) -> Iterator[dict[int, ServerEndpoint]]:
    """Two servers, by the number of lanes."""
    before = os.environ.get(LANES)
    with ExitStack() as opened:
        servers = {}
        for lanes in (1, 2):
            os.environ[LANES] = str(lanes)
            try:
                server = EmbeddedServer(repository, models=(model,), log_path=log.with_suffix(f".{lanes}"))
                servers[lanes] = opened.enter_context(server).endpoint
            finally:
                os.environ.pop(LANES)
                if before is not None:
                    os.environ[LANES] = before
        yield servers


@contextmanager
def sleeping(sleep_ms: float, models: Sequence[str] = (SLEEPER,)) -> Iterator[Path]:
    """A repository with models whose engine sleeps; servers that are started meanwhile run them."""
    with tempfile.TemporaryDirectory(prefix="photofinish-lanes-") as name:
        folder = Path(name)
        shutil.copytree(run_folder.BACKEND, folder / "backend", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "backend" / "engines" / "pytorch.py").write_text(ENGINE.format(seconds=sleep_ms / 1e3))
        for model in models:
            (folder / "models" / model / "1").mkdir(parents=True)
            (folder / "models" / model / "1" / "model.pt").touch()
            (folder / "models" / model / "config.pbtxt").write_text(CONFIG.replace(f'"{SLEEPER}"', f'"{model}"'))
        genuine, run_folder.BACKEND = run_folder.BACKEND, folder / "backend"
        try:
            yield folder / "models"
        finally:
            run_folder.BACKEND = genuine


def bare_loop(repository: Path, model: str, sleep_ms: float) -> Callable[[int, float], float]:
    """Pictures a second of the engine alone, at a batch size and for so many seconds."""

    def sleep_only(batch: int, seconds: float) -> float:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() < begun + seconds:
            time.sleep(sleep_ms / 1e3)
            count += 1
        return round(count * batch / (time.perf_counter() - begun), 1)

    def loop(batch: int, seconds: float) -> float:
        artifacts = artifacts_in(repository, (model,))
        section = measure_engines(artifacts, batch_sizes=(batch,), seconds=seconds, on_progress=say)
        if not section.blocks:
            raise InferenceError(f"the bare loop cannot be run: {section.not_run}", model=model)
        return round(batch / float(section.blocks[0].samples.latency_ns.mean()) * 1e9, 1)

    return sleep_only if sleep_ms else loop


def measure(
    servers: dict[int, ServerEndpoint], model: str, bare: Callable[[int, float], float], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """One row for each load: what one lane, two lanes and the bare loop carry, round by round."""
    with TritonClient(servers[1].grpc_url) as client:
        largest = client.model(model).max_batch_size
    loads = [load for load in LOADS if load[0] <= max(largest, 1)]
    rows: dict[tuple[int, int], dict[int | str, list[Any]]] = {load: {1: [], 2: [], "bare": []} for load in loads}
    for turn in range(args.rounds):
        for batch in dict.fromkeys(batch for batch, _ in loads):
            found = bare(batch, args.seconds)
            for load in loads:
                if load[0] == batch:
                    rows[load]["bare"].append(found)
        for load in loads:
            for lanes in (1, 2) if turn % 2 == 0 else (2, 1):
                result = images_per_s(servers[lanes], model, *load, args.seconds, args.processes)
                rows[load][lanes].append(result)
                say(f"round {turn}, batch {load[0]}, {load[1]} clients, lanes {lanes}: {json.dumps(result)}")
    return [row_from_rounds(load, found) for load, found in rows.items()]


def row_from_rounds(load: tuple[int, int], found: Mapping[int | str, Sequence[Any]]) -> dict[str, Any]:
    """Medians over the rounds, and the share of the bare loop that each way of serving reaches.

    A share above 1 says that requests were joined: the bare loop runs the batch of one request.
    """
    bare = nearest_rank(np.array(found["bare"]), 0.5)
    row: dict[str, Any] = {
        "batch": load[0],
        "clients": load[1],
        "bare_images_per_s": bare,
        "rounds": len(found["bare"]),
    }
    for lanes in (1, 2):
        carried = nearest_rank(np.array([result["images_per_s"] for result in found[lanes]]), 0.5)
        name = f"lanes_{lanes}"
        row[name] = {
            "images_per_s": carried,
            "share_of_bare": round(carried / bare, 3),
            "mean_server_batch": [result["mean_server_batch"] for result in found[lanes]],
            "p50_ms": [result["p50_ms"] for result in found[lanes]],
            "p95_ms": [result["p95_ms"] for result in found[lanes]],
            "by_round": [result["images_per_s"] for result in found[lanes]],
        }
    return row


def main() -> None:
    """Run; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", default="demo_traffic_aoti_fp16_rect")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--processes", type=int, default=4, help="of clients")
    parser.add_argument("--sleep-ms", type=float, default=0.0, help="without a GPU: an engine that sleeps so long")
    parser.add_argument("--log", type=Path, default=Path(".photofinish/logs/two_lanes.log"))
    parser.add_argument("--client", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        run_clients(json.loads(args.client))
        return
    with ExitStack() as opened:
        model, repository = args.model, args.repository
        if args.sleep_ms:
            model, repository = SLEEPER, opened.enter_context(sleeping(args.sleep_ms))
        args.log.parent.mkdir(parents=True, exist_ok=True)
        servers = opened.enter_context(both_served(repository, model, args.log))
        rows = measure(servers, model, bare_loop(repository, model, args.sleep_ms), args)
    document = {"model": model, "sleep_ms": args.sleep_ms, "seconds": args.seconds, "processes": args.processes}
    sys.stdout.write(json.dumps({**document, "cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
