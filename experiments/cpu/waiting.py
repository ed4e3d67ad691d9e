"""What it costs each CPU engine to wait passively for its other threads, alone and beside other programs.

    python -m experiments.cpu.waiting --repository model_repository --load 0 --out waiting.json

A bare loop in a process of its own for each engine and each way to wait, in turn, so many rounds. PyTorch computes in
threads of OpenMP: they look for work for a while before they sleep (active), a little (bounded, GOMP_SPINCOUNT=10000)
or not at all (passive, OMP_WAIT_POLICY). ONNX Runtime has threads and a switch of its own; OpenVINO's never spin.
--load: so many processes that do nothing but compute run beside it: 0 for a quiet machine, twice the cores for a busy
one. What else runs is measured and stands in the file; on a machine that others use the figures of --load 0 are theirs.

Backs: docs/decisions.md, "Each engine waits as its library does"
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from photofinish.machine.processes import CpuMeter, machine_cpu_s
from photofinish.machine.processor import usable_cores
from photofinish.percentiles import nearest_rank
from photofinish.perf.engine.loops import Artifact, Loop, loop_from_artifact, onnxruntime_loop, timed_loop, warmed

MODES: Mapping[str, Mapping[str, str]] = {
    "active": {},
    "bounded": {"GOMP_SPINCOUNT": "10000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
"""Ways to wait, with the variables that ask libgomp for them."""
SUFFIXES = ("torch_fp32_tensor", "torch_fp32", "onnx_fp32", "openvino_fp32", "openvino_int8")
_BURN = "while True: pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCell:
    """One engine and one way to wait."""

    suffix: str
    mode: str

    @property
    def is_known(self) -> bool:
        """Whether the engine has this way: OpenVINO has one, ONNX Runtime two."""
        if self.suffix.startswith("openvino"):
            return self.mode == "active"
        return self.mode != "bounded" or self.suffix.startswith("torch")


@contextmanager
def burning(count: int) -> Iterator[None]:
    """So many processes that use a core each, as far as there are cores."""
    processes = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measured_here(directory: Path, mode: str, seconds: float) -> dict[str, float]:
    """P50 and P95 in ms and processor ms per picture of a bare loop in this process."""
    loop = _loop(directory, spins=mode == "active")
    before = time.process_time()
    samples = timed_loop(loop, seconds)
    used_s = time.process_time() - before
    latency = samples.latency_ns
    return {
        "p50_ms": nearest_rank(latency, 0.5) / 1e6,
        "p95_ms": nearest_rank(latency, 0.95) / 1e6,
        "cpu_ms": 1000 * used_s / max(len(latency), 1),
        "pictures": len(latency),
    }


def _loop(directory: Path, *, spins: bool) -> Loop:
    from photofinish.export.publishing.cards import card_from_directory
    from photofinish.server.triton.run_folder import BACKEND

    card = card_from_directory(directory)
    if card is None:
        raise SystemExit(f"{directory} holds no variant of Photofinish; give --repository")
    artifact = Artifact(card=card, directory=directory / "1", backend_package=BACKEND)
    if card.backend != "onnxruntime":
        return loop_from_artifact(artifact, 1, 0)
    import numpy as np

    width, height = card.input_wh
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    return warmed(onnxruntime_loop(artifact.path, pixels, threads=usable_cores(), spins=spins))


def measured_apart(directory: Path, mode: str, seconds: float) -> dict[str, float]:
    """The same in a new process, started with the variables of the mode; how many cores others used beside it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, "-m", "experiments.cpu.waiting", "--here", str(directory), mode, str(seconds)]
    meter, before = CpuMeter(machine_cpu_s), os.times()
    done = subprocess.run(command, env={**environment, **MODES[mode]}, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{directory.name}, {mode}: {done.stderr[-2000:]}")
    after = os.times()
    own_s = after.children_user + after.children_system - before.children_user - before.children_system
    others = meter.cores() - own_s / max(after.elapsed - before.elapsed, 1e-9)
    return {**json.loads(done.stdout), "other_cores": max(0.0, others)}


def middle(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


def main() -> None:
    """Measure and print one line a cell; the file holds every round."""
    if sys.argv[1:2] == ["--here"]:
        here, mode, seconds = sys.argv[2:5]
        click.echo(json.dumps(measured_here(Path(here), mode, float(seconds))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--suffix", action="append", help="only this variant; may be repeated")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = {
        suffix: next(iter(sorted(options.repository.glob(f"*_{suffix}"))), None)
        for suffix in options.suffix or SUFFIXES
    }
    cells = [cell for suffix in found for mode in MODES if (cell := WaitingCell(suffix=suffix, mode=mode)).is_known]
    rows: dict[str, list[dict[str, float]]] = {}
    with burning(options.load):
        for number in range(options.rounds):
            for cell in cells if number % 2 == 0 else cells[::-1]:
                directory = found[cell.suffix]
                if directory is not None:
                    row = measured_apart(directory, cell.mode, options.seconds)
                    rows.setdefault(f"{cell.suffix} {cell.mode}", []).append(row)
            content = {"load": options.load, "cores": usable_cores(), "seconds": options.seconds, "rows": rows}
            if options.out:
                options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    click.echo(f"load {options.load}, {usable_cores()} cores, {options.rounds} rounds of {options.seconds:g} s")
    for name, taken in rows.items():
        figures = ", ".join(f"{key} {middle([row[key] for row in taken]):.1f}" for key in taken[0])
        click.echo(f"{name}: {figures}")


if __name__ == "__main__":
    main()
