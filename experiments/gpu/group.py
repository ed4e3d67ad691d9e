"""Two variants with a process each against two that share one: memory, and what a request takes, alone and together.

    python -m experiments.gpu.group --model yolo26n_aoti_fp16 --model yolo26s_aoti_fp16 > group.json
    python -m experiments.gpu.group --sleep-ms 2 > rehearsal.json

Two servers run beside each other, one with PHOTOFINISH_GROUP=1. One is measured at a time, in the order A B B A: each
variant alone, then both at once. Clients have processes of their own and send single prepared pictures by system
shared memory and HTTP. --sleep-ms needs no GPU: engines that sleep so long for every execution stand in.
`PHOTOFINISH_GROUP=1 python -m experiments.gpu_server_check` asks whether answers are right.

Memory is told three times: by the servers' own account, by the driver for each server's processes, and by the driver
for the whole GPU, before and after each server's start. Where the first two disagree the account is wrong.

Backs: docs/decisions.md, "No GPU has been measured with a group"
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.gpu.two_lanes import images_per_s, say, sleeping
from photofinish.machine.gpu import bytes_by_process, bytes_in_use, gpu_handles, opened_nvml
from photofinish.machine.processes import ProcessTree
from photofinish.machine.triton_metrics import Metric, read_metrics
from photofinish.percentiles import nearest_rank
from photofinish.server.backend.memory import COMMON_GPU_METRIC, COMMON_HOST_METRIC, GPU_METRIC, HOST_METRIC
from photofinish.server.backend.model import GROUP
from photofinish.server.triton.embedded import EmbeddedServer, ServerEndpoint

WAYS = {"apart": "0", "grouped": "1"}
"""By what the variable says."""
SLEEPERS = ("sleeper_a", "sleeper_b")
TOGETHER = "together"


def account_mib(page: Sequence[Metric], own: str, common: str) -> dict[str, Any]:
    """What the server says of itself: by instance, what is common to those of each process, and the sum."""
    shares = {each.labels["model"]: 0.0 for each in page if each.name == own}
    for each in page:
        if each.name == own:
            shares[each.labels["model"]] += each.value / 2**20
    # Each model tells what is common, as it was when it was loaded; the last one's counts, once for the process.
    shared: dict[str, float] = {}
    for each in page:
        if each.name == common:
            process = each.labels["instance"].partition("/")[0]
            shared[process] = max(shared.get(process, 0.0), each.value / 2**20)
    total = sum(shares.values()) + sum(shared.values())
    return {"models": {name: round(size) for name, size in shares.items()}} | {
        "common": round(sum(shared.values())),
        "sum": round(total),
    }


def driver_mib(server: ServerEndpoint) -> dict[str, int]:
    """GPU memory of the server's processes, and of everybody; nothing without a GPU."""
    with opened_nvml() as nvml:
        if nvml is None:
            return {}
        own = ProcessTree(server.pid).pids()
        used = [bytes_by_process(nvml, handle) for handle in gpu_handles(nvml)]
        mine = sum(size for gpu in used for pid, size in gpu.items() if pid in own)
        return {"processes": mine >> 20, "whole_gpu": sum(bytes_in_use(nvml).values()) >> 20}


def whole_gpu_mib() -> int:
    """What is in use on all GPUs, by everybody."""
    with opened_nvml() as nvml:
        return sum(bytes_in_use(nvml).values()) >> 20 if nvml is not None else 0


@contextmanager
def both_served(repository: Path, models: tuple[str, ...], log: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """The memory of both servers, and where they answer, by the way."""
    before = os.environ.get(GROUP)
    memory: dict[str, Any] = {}
    servers: dict[str, ServerEndpoint] = {}
    with ExitStack() as opened:
        for way, value in WAYS.items():
            idle = whole_gpu_mib()
            os.environ[GROUP] = value
            try:
                server = EmbeddedServer(repository, models=models, log_path=log.with_suffix(f".{way}"))
                servers[way] = opened.enter_context(server).endpoint
            finally:
                os.environ.pop(GROUP)
                if before is not None:
                    os.environ[GROUP] = before
            page = read_metrics(servers[way].metrics_url)
            found = driver_mib(servers[way])
            memory[way] = {
                "gpu_mib": account_mib(page, GPU_METRIC, COMMON_GPU_METRIC),
                "host_mib": account_mib(page, HOST_METRIC, COMMON_HOST_METRIC),
                "driver_mib": found | {"added": found["whole_gpu"] - idle} if found else {},
            }
            say(f"{way}: {json.dumps(memory[way])}")
        yield memory, servers


def measure(servers: Mapping[str, ServerEndpoint], models: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """What a request takes, by the way, the model, and whether it is alone."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(len(models)) as pool:
        for turn in range(args.rounds):
            for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                for load in (*((model,) for model in models), tuple(models)):
                    name = TOGETHER if len(load) > 1 else "alone"
                    asked = [pool.submit(images_per_s, servers[way], model, 1, 1, args.seconds, 1) for model in load]
                    for model, result in zip(load, asked, strict=True):
                        found.setdefault((way, model, name), []).append(result.result())
                        say(f"round {turn}, {way}, {model} {name}: {json.dumps(found[way, model, name][-1])}")
    return tables_from_rounds(found)


def tables_from_rounds(found: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """By model and load: the P50 (ms) of each way, as median of its rounds and round by round, and their ratio."""
    tables: dict[str, Any] = {}
    for model, name in dict.fromkeys((model, name) for _, model, name in found):
        row: dict[str, Any] = {}
        for way in WAYS:
            rounds = [result["p50_ms"] for result in found[way, model, name]]
            row[way] = {"p50_ms": nearest_rank(np.array(rounds), 0.5), "by_round": rounds}
        row["grouped_to_apart"] = round(row["grouped"]["p50_ms"] / row["apart"]["p50_ms"], 3)
        tables.setdefault(model, {})[name] = row
    return tables


def main() -> None:
    """Run; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", action="append", dest="models", help="of one backend and precision; give two")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sleep-ms", type=float, default=0.0, help="without a GPU: engines that sleep so long")
    parser.add_argument("--log", type=Path, default=Path(".photofinish/logs/group.log"))
    args = parser.parse_args()
    with ExitStack() as opened:
        models, repository = tuple(args.models or ()), args.repository
        if args.sleep_ms:
            models, repository = SLEEPERS, opened.enter_context(sleeping(args.sleep_ms, SLEEPERS))
        elif len(models) < 2:
            parser.error("two variants are compared: give --model twice, or --sleep-ms")
        args.log.parent.mkdir(parents=True, exist_ok=True)
        memory, servers = opened.enter_context(both_served(repository, models, args.log))
        tables = measure(servers, models, args)
    document = {"models": models, "sleep_ms": args.sleep_ms, "seconds": args.seconds, "cores": os.cpu_count()}
    sys.stdout.write(json.dumps({**document, "memory": memory, "latency": tables}, indent=1) + "\n")


if __name__ == "__main__":
    main()
