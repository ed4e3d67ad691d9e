"""What the textbook client's own memory costs it: page faults and wire time of one call, allocator as it is and kept.

    python -m experiments.wire_faults --model MODEL --source synthetic --source VIDEO --out faults.json

glibc gives large freed buffers back to the kernel, so a client that sends 4.9 MB a call may fetch every page again each
time. Whether it does depends on what the process did before: glibc keeps more once a larger buffer was freed, and some
sources free one. Two kinds of client take turns for each source, each in a process of its own: one as Python starts it,
one that keeps its memory (glibc's tunables). Nothing else differs.

Backs: docs/benchmarking-gpu.md, "glibc gives the client's freed 4.9 MB buffers back to the kernel"
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.served import served
from photofinish.client.pipeline.baseline import BaselinePipeline
from photofinish.percentiles import nearest_rank
from photofinish.perf.load.settling import MMAP_THRESHOLD_BYTES, TRIM_THRESHOLD_BYTES
from photofinish.perf.measure.bench import frames_from_source
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.perf.record.samples import NS_PER_MS

SCHEMA_VERSION = 1
KEPT: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(TRIM_THRESHOLD_BYTES),
}
"""glibc's tunables of a client that keeps its memory."""
CLIENTS: Mapping[str, Mapping[str, str]] = {"as it is": {}, "memory kept": KEPT}
WARM_UPS = 10


def measure_here(url: str, model: str, source: str, requests: int) -> dict[str, Any]:
    """Wire time of each call in nanoseconds, and this process's page faults from the first counted call to the last."""
    frames = frames_from_source(source)
    with BaselinePipeline(url, model, timeout_s=60) as pipeline:
        for index in range(WARM_UPS):
            pipeline.process(frames[index % len(frames)])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        wire_ns = [pipeline.process(frames[index % len(frames)]).wire_ns for index in range(requests)]
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"page_faults": faults, "wire_ns": wire_ns}


def measure_in_child(url: str, model: str, source: str, requests: int, tunables: Mapping[str, str]) -> dict[str, Any]:
    """The same in a new process, since glibc reads its tunables at the start."""
    environment = {name: value for name, value in os.environ.items() if name not in KEPT} | dict(tunables)
    command = [sys.executable, "-m", "experiments.wire_faults", "--child", url, "--model", model]
    command += ["--source", source, "--requests", str(requests)]
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def measure_rounds(url: str, model: str, sources: Sequence[str], *, rounds: int, requests: int) -> list[dict[str, Any]]:
    """Every source with both clients in every round, the order turned round each time."""
    arms = [(source, name) for source in sources for name in CLIENTS]
    entries = []
    for index in range(rounds):
        for source, name in arms[:: -1 if index % 2 else 1]:
            entry = {"round": index, "source": Path(source).name, "client": name}
            entries.append(entry | measure_in_child(url, model, source, requests, CLIENTS[name]))
    return entries


def table_from_rounds(entries: list[dict[str, Any]]) -> str:
    """One line per source and client."""
    lines = [
        "| source | client | page faults a request | wire P10 (ms) | wire P50 (ms) |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for source, name in dict.fromkeys((entry["source"], entry["client"]) for entry in entries):
        found = [entry for entry in entries if (entry["source"], entry["client"]) == (source, name)]
        wire_ns = np.concatenate([np.array(entry["wire_ns"]) for entry in found])
        faults = sum(entry["page_faults"] for entry in found) / len(wire_ns)
        p10_ms, p50_ms = (nearest_rank(wire_ns, share) / NS_PER_MS for share in (0.1, 0.5))
        lines.append(f"| {source} | {name} | {faults:.0f} | {p10_ms:.1f} | {p50_ms:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--model", required=True, help="the baseline: a variant that takes the tensor contract")
    parser.add_argument("--source", action="append", help="what the frames are taken from; may be repeated (synthetic)")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--requests", type=int, default=40, help="of each client in each round")
    parser.add_argument("--out", type=Path, help="where the record goes; printed where it is missing")
    parser.add_argument("--child", metavar="HOST:PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(json.dumps(measure_here(options.child, options.model, options.source[0], options.requests)))
        return
    sources = options.source or ["synthetic"]
    with served(options.repository, (options.model,), Path(".photofinish/logs/wire_faults.log")) as server:
        entries = measure_rounds(server.url, options.model, sources, rounds=options.rounds, requests=options.requests)
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": shlex.join(["python", "-m", "experiments.wire_faults", *sys.argv[1:]]),
        "created_utc": utc_now(),
        "environment": environment_fingerprint(None, server={"kind": "embedded", "version": ""}),
        "tunables": dict(KEPT),
        "rounds": entries,
    }
    if options.out:
        options.out.write_text(json.dumps(record) + "\n", encoding="utf-8")
    sys.stdout.write(table_from_rounds(entries) + "\n")


if __name__ == "__main__":
    main()
