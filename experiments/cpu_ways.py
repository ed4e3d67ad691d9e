"""Ways to run one model on this processor, each in a bare loop.

    python -m experiments.cpu_ways FOLDER --out FILE.json

FOLDER holds the artifacts that `python -m experiments.cpu_artifacts` makes. Every way runs in a process of its own,
warm, and they take turns in rounds, so that what else the machine does falls on all of them alike.

Backs: docs/benchmarking-cpu.md, "The best FP32 engines take 40 ms."
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.camera_speed import percentile_ms
from photofinish.errors import ConfigError
from photofinish.letterbox import images_nchw_from_frames
from photofinish.machine.processor import BF16_FLAGS, processor_flags
from photofinish.perf.engine.loops import (
    Loop,
    library,
    onnxruntime_loop,
    openvino_loop,
    timed_loop,
    torch_loop,
    warmed,
)
from photofinish.perf.formatting import MISSING
from photofinish.perf.record.environment import environment_fingerprint, utc_now

SCHEMA_VERSION = 1
INPUT_WH = (640, 640)
_LOAD_TIMEOUT_S = 300.0
_PEAK_SIZE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way: what runs, from which file of the folder, and how its loop is made from path and thread count."""

    name: str
    precision: str
    file: str
    make: Callable[[Path, int], Loop]


def torchscript_way(path: Path, threads: int) -> Loop:
    """The baseline's artifact: FP32 pictures in, the raw head out."""
    torch = library("torch", "export")
    torch.set_num_threads(threads)
    return torch_loop(torch.jit.load(str(path)).eval(), torch.from_numpy(images_nchw_from_frames(_pixels())))


def compiled_way(path: Path, threads: int) -> Loop:
    """A package of torch.export and AOTInductor."""
    torch = library("torch", "export")
    torch.set_num_threads(threads)
    return torch_loop(torch._inductor.aoti_load_package(str(path)), torch.from_numpy(_pixels()))


def onnxruntime_way(path: Path, threads: int, *, level: str = "ORT_ENABLE_ALL", spins: bool = True) -> Loop:
    """An ONNX file in ONNX Runtime. level: how far the graph is optimised; spins: whether idle threads spin."""
    return onnxruntime_loop(path, _pixels(), threads=threads, level=level, spins=spins)


def openvino_way(
    path: Path,
    threads: int,
    *,
    tuned: bool = True,
    has_fixed_shape: bool = True,
    pins: bool = True,
    computes_in: str = "f32",
) -> Loop:
    """An ONNX file in OpenVINO. tuned: one stream, our thread count, for latency; else its own defaults.

    pins: whether each thread keeps to a core. computes_in: what it computes in where the graph says nothing else.
    Raises ConfigError where the processor does not compute in it.
    """
    if computes_in == "bf16" and not BF16_FLAGS & processor_flags():
        raise ConfigError("this processor does not compute in BF16")
    settings = {"INFERENCE_PRECISION_HINT": computes_in}
    if tuned:
        settings |= {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads)}
    if not pins:
        settings["ENABLE_CPU_PINNING"] = "NO"
    return openvino_loop(path, _pixels(), settings, has_fixed_shape=has_fixed_shape)


WAYS: Sequence[Way] = (
    Way(name="TorchScript (the baseline's artifact)", precision="fp32", file="baseline.pt", make=torchscript_way),
    Way(name="AOTInductor", precision="fp32", file="compiled/model_b1.pt2", make=compiled_way),
    Way(name="AOTInductor, frozen weights", precision="fp32", file="frozen/model_b1.pt2", make=compiled_way),
    Way(name="ONNX Runtime", precision="fp32", file="fp32.onnx", make=onnxruntime_way),
    Way(name="ONNX Runtime, threads do not spin", precision="fp32", file="fp32.onnx",
        make=partial(onnxruntime_way, spins=False)),
    Way(name="ONNX Runtime, no blocked layout", precision="fp32", file="fp32.onnx",
        make=partial(onnxruntime_way, level="ORT_ENABLE_EXTENDED")),
    Way(name="OpenVINO, its own defaults", precision="fp32", file="fp32.onnx",
        make=partial(openvino_way, tuned=False)),
    Way(name="OpenVINO, open batch", precision="fp32", file="fp32.onnx",
        make=partial(openvino_way, has_fixed_shape=False)),
    Way(name="OpenVINO", precision="fp32", file="fp32.onnx", make=openvino_way),
    Way(name="ONNX Runtime, our signed Q/DQ", precision="int8", file="int8.onnx", make=onnxruntime_way),
    Way(name="ONNX Runtime, our unsigned Q/DQ", precision="int8", file="unsigned.onnx", make=onnxruntime_way),
    Way(name="OpenVINO, our signed Q/DQ (refused by the gate)", precision="int8", file="int8.onnx",
        make=openvino_way),
    Way(name="OpenVINO, our unsigned Q/DQ", precision="int8", file="unsigned.onnx", make=openvino_way),
    Way(name="OpenVINO, our unsigned Q/DQ, its own defaults", precision="int8", file="unsigned.onnx",
        make=partial(openvino_way, tuned=False)),
    Way(name="OpenVINO, our unsigned Q/DQ, threads not pinned", precision="int8", file="unsigned.onnx",
        make=partial(openvino_way, pins=False)),
    Way(name="OpenVINO, BF16", precision="bf16", file="fp32.onnx", make=partial(openvino_way, computes_in="bf16")),
    Way(name="OpenVINO, our unsigned Q/DQ, BF16 for the rest", precision="int8", file="unsigned.onnx",
        make=partial(openvino_way, computes_in="bf16")),
    Way(name="OpenVINO, NNCF (wrong boxes)", precision="int8", file="nncf.onnx", make=openvino_way),
)  # fmt: skip


def _pixels() -> Any:
    width, height = INPUT_WH
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def _serve(way: Way, path: Path, threads: int, link: Connection) -> None:
    """A way's process: load, warm up, then time the loop for as many seconds as it is told, until told 0."""
    try:
        loop = warmed(way.make(path, threads))
    except Exception as exc:  # another process: the owner must hear of everything
        said = str(exc).strip().splitlines() or ["no reason given"]
        link.send(f"{type(exc).__name__}: {said[-1][:300]}")
        return
    link.send("")
    while seconds := link.recv():
        link.send(timed_loop(loop, seconds).latency_ns.tolist())


class RunningWay:
    """A way in its process, warm; a context manager that ends it."""

    def __init__(self, way: Way, path: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.way = way
        self._link, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(way, path, threads, other), daemon=True)
        self._process.start()
        other.close()

    def problem(self) -> str:
        """Why the way cannot run here; "" once it is warm."""
        if not self._link.poll(_LOAD_TIMEOUT_S):
            return f"not ready after {_LOAD_TIMEOUT_S:.0f} s"
        try:
            return str(self._link.recv())
        except EOFError:
            return "its process ended"

    def run(self, seconds: float) -> list[int]:
        """The times of all executions, in nanoseconds."""
        self._link.send(seconds)
        times_ns: list[int] = self._link.recv()
        return times_ns

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._link.close()


def measure_ways(
    folder: Path, *, threads: int, seconds: float, rounds: int, on_progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One entry per way: its times by round, or why it was not run."""
    entries: list[dict[str, Any]] = []
    running: list[tuple[RunningWay, dict[str, Any]]] = []
    try:
        for way in WAYS:
            entry: dict[str, Any] = {"name": way.name, "precision": way.precision, "file": way.file, "rounds_ns": []}
            entries.append(entry)
            if not (folder / way.file).is_file():
                entry["not_run"] = f"{way.file} was not made"
                continue
            started = RunningWay(way, folder / way.file, threads)
            running.append((started, entry))
            if problem := started.problem():
                entry["not_run"] = problem
                running.pop()
                started.close()
            on_progress(f"{way.name}: {entry.get('not_run', 'warm')}")
        for number in range(rounds):
            on_progress(f"round {number + 1} of {rounds}")
            for started, entry in running[:: 1 if number % 2 == 0 else -1]:
                try:
                    entry["rounds_ns"].append(started.run(seconds))
                except (EOFError, OSError):
                    entry |= {"rounds_ns": [], "not_run": f"its process ended in round {number + 1}"}
                    running.remove((started, entry))
                    started.close()
    finally:
        for started, _ in running:
            started.close()
    return entries


def peak_gflops(threads: int) -> float:
    """What a large FP32 matrix product reaches here: the roof that no FP32 convolution by multiplication passes."""
    torch = library("torch", "export")
    torch.set_num_threads(threads)
    left, right = (torch.rand((_PEAK_SIZE, _PEAK_SIZE)) for _ in range(2))
    best_s = float("inf")
    for _ in range(8):
        begin_s = time.perf_counter()
        torch.mm(left, right)
        best_s = min(best_s, time.perf_counter() - begin_s)
    return float(2 * _PEAK_SIZE**3 / best_s / 1e9)


def table_from_record(record: Mapping[str, Any]) -> str:
    """The ways as a Markdown table, fastest first. P10 is what is left of a machine that others use too."""
    lines = [
        "| way | precision | P10 (ms) | P50 (ms) | P95 (ms) | P50 against the baseline |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    medians = {entry["name"]: median for entry in record["ways"] if (median := _percentile_ms(entry, 0.5))}
    baseline = medians.get(record["ways"][0]["name"])
    done = [entry for entry in record["ways"] if entry["name"] in medians]
    for entry in sorted(done, key=lambda entry: medians[entry["name"]]):
        median = medians[entry["name"]]
        gain = f"{baseline / median:.2f}\N{MULTIPLICATION SIGN}" if baseline else MISSING
        found_ms = (_percentile_ms(entry, share) for share in (0.1, 0.5, 0.95))
        times = " | ".join(MISSING if found is None else f"{found:.1f}" for found in found_ms)
        lines.append(f"| {entry['name']} | {entry['precision']} | {times} | {gain} |")
    lines += [f"| {entry['name']} | {entry['precision']} | not run: {entry['not_run']} | | | |"
              for entry in record["ways"] if "not_run" in entry]  # fmt: skip
    return "\n".join(lines)


def _percentile_ms(entry: Mapping[str, Any], share: float) -> float | None:
    return percentile_ms([time_ns for times_ns in entry["rounds_ns"] for time_ns in times_ns], share)


def main() -> None:
    """Measure, write the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=2.0, help="per way and round")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    peak = peak_gflops(options.threads)
    ways = measure_ways(
        options.folder,
        threads=options.threads,
        seconds=options.seconds,
        rounds=options.rounds,
        on_progress=lambda line: click.echo(line, err=True),
    )
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.cpu_ways",
        "created_utc": utc_now(),
        "environment": environment_fingerprint(None, server={"kind": "none", "version": "in one process per way"}),
        "threads": options.threads,
        "load_before": load_before,
        "peak_fp32_gflops": peak,
        "ways": ways,
    }
    options.out.write_text(json.dumps(record), encoding="utf-8")
    click.echo(table_from_record(record))


if __name__ == "__main__":
    main()
