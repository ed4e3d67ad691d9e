"""How fast one core renders the synthetic camera at 720p: `python -m experiments.camera_speed --out FILE.json`.

Backs: docs/benchmarking-cpu.md, "on one core it gives 82 to 104 frames a second in the default scene"
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from photofinish.percentiles import carried_percentile
from photofinish.perf.record.environment import environment_fingerprint, utc_now
from photofinish.synthetic import SyntheticCamera

SCENES: dict[str, dict[str, float]] = {"default": {"crowding": 1.0}, "crowded": {"crowding": 2.0}}
SEEDS = (0, 1, 2)
SCHEMA_VERSION = 1
_WARM_UP_FRAMES = 30


def render_times(seed: int, crowding: float, frames: int) -> tuple[list[int], int, float]:
    """Wall time of each of `frames` consecutive frames in ns, processor time of all, and objects per frame."""
    camera = SyntheticCamera(seed=seed, crowding=crowding)
    for index in range(_WARM_UP_FRAMES):
        camera.frame(index)
    times_ns: list[int] = []
    objects = 0
    processor_ns = time.process_time_ns()
    for index in range(_WARM_UP_FRAMES, _WARM_UP_FRAMES + frames):
        begin_ns = time.perf_counter_ns()
        truth = camera.frame(index).truth
        times_ns.append(time.perf_counter_ns() - begin_ns)
        objects += len(truth) if truth else 0
    return times_ns, time.process_time_ns() - processor_ns, objects / frames


def measure_scenes(frames: int, seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """One entry per scene and seed. One core, one OpenCV thread."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    entries = []
    for scene, options in SCENES.items():
        for seed in seeds:
            times_ns, processor_ns, objects = render_times(seed, options["crowding"], frames)
            entries.append(
                {
                    "scene": scene,
                    "seed": seed,
                    **options,
                    "objects_per_frame": round(objects, 1),
                    "frames_per_s": frames / (sum(times_ns) / 1e9),
                    "frames_per_processor_s": frames / (processor_ns / 1e9),
                    "p50_ms": percentile_ms(times_ns, 0.5),
                    "p95_ms": percentile_ms(times_ns, 0.95),
                    "times_ns": times_ns,
                }
            )
    return entries


def percentile_ms(times_ns: Sequence[int], share: float) -> float | None:
    """Of the frames' times; None where there are too few frames for it."""
    found = carried_percentile(np.array(times_ns), share)
    return None if found is None else found / 1e6


def table_from_entries(entries: Sequence[dict[str, Any]]) -> str:
    """One line per scene: the slowest and the fastest seed."""
    lines = [
        "| scene | objects per frame | frames per second | P50 (ms) | P95 (ms) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for scene in SCENES:
        found = [entry for entry in entries if entry["scene"] == scene]
        cells = [_span(found, key, digits) for key, digits in
                 (("objects_per_frame", 0), ("frames_per_s", 0), ("p50_ms", 1), ("p95_ms", 1))]  # fmt: skip
        lines.append(f"| {scene} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _span(entries: Sequence[dict[str, Any]], key: str, digits: int) -> str:
    if any(entry[key] is None for entry in entries):
        return "\N{EN DASH}"
    values = np.array([entry[key] for entry in entries])
    return f"{values.min():.{digits}f}\N{EN DASH}{values.max():.{digits}f}"


def main() -> None:
    """Measure, write the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=300, help="per scene and seed")
    options = parser.parse_args()
    environment = environment_fingerprint(None, server={"kind": "none", "version": ""})
    entries = measure_scenes(options.frames)
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": f"python -m experiments.camera_speed --frames {options.frames}",
        "created_utc": utc_now(),
        "environment": environment,
        "size_wh": [1280, 720],
        "scenes": entries,
    }
    options.out.write_text(json.dumps(record) + "\n", encoding="utf-8")
    click.echo(table_from_entries(entries))


if __name__ == "__main__":
    main()
