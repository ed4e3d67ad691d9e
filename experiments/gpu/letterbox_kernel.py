"""The letterbox kernel on a GPU: is every byte that of the numpy reference, and how long does a picture take?

Backs: docs/benchmarking-gpu.md, "the letterbox kernel against its reference, to the byte, and its time"

`--device stand-in` rehearses it on the CPU, whose times mean nothing.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from photofinish.client.cameras.decode.gpu.device import GpuDevice, GpuLane
from photofinish.client.cameras.decode.gpu.process import device_from_name
from photofinish.client.cameras.decode.nv12.job import Colours, LetterboxJob, job_from_picture
from photofinish.client.cameras.decode.nv12.reference import letterboxed_from_nv12
from photofinish.letterbox import Letterbox

SIZES = [((1280, 720), (640, 384)), ((1920, 1080), (640, 384)), ((704, 576), (640, 640)), ((639, 361), (333, 201))]
COLOURS = [Colours(matrix=matrix, is_full_range=full) for matrix in ("bt601", "bt709") for full in (False, True)]


@click.command()
@click.option("--device", default="0", show_default=True, help="The GPU's number, or stand-in.")
@click.option("--repeats", default=2000, show_default=True, help="Pictures of each size that are timed.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(device: str, repeats: int, out: Path) -> None:
    """Compare and time; exit code 3 when a byte differs."""
    gpu = device_from_name(device)
    lane = gpu.lane()
    rows = [_row(gpu, lane, source_wh, target_wh, repeats) for source_wh, target_wh in SIZES]
    out.write_text(json.dumps({"device": gpu.name, "repeats": repeats, "rows": rows}, indent=1) + "\n")
    for row in rows:
        click.echo(row)
    raise SystemExit(3 if any(row["worst"] for row in rows) else 0)


def _row(
    gpu: GpuDevice, lane: GpuLane, source_wh: tuple[int, int], target_wh: tuple[int, int], repeats: int
) -> dict[str, Any]:
    width, height = source_wh
    rng = np.random.default_rng(0)
    pitch = width + width % 2
    luma = rng.integers(0, 256, (height, pitch), np.uint8)
    chroma = rng.integers(0, 256, ((height + 1) // 2, pitch), np.uint8)
    letterbox = Letterbox(source_wh=source_wh, target_wh=target_wh)
    found = np.zeros((target_wh[1], target_wh[0], 3), np.uint8)
    place, target = gpu.allocate(luma.nbytes + chroma.nbytes), gpu.allocate(found.nbytes)
    gpu.put(place, luma.ctypes.data, luma.nbytes)
    gpu.put(place + luma.nbytes, chroma.ctypes.data, chroma.nbytes)

    def job(colours: Colours) -> LetterboxJob:
        return job_from_picture(
            letterbox,
            colours,
            luma=place,
            chroma=place + luma.nbytes,
            out=target,
            luma_pitch=pitch,
            chroma_pitch=pitch,
        )

    worst = 0
    for colours in COLOURS:
        lane.letterbox(job(colours))
        lane.fetch(found.ctypes.data, target, found.nbytes)
        lane.finish()
        expected = letterboxed_from_nv12(luma[:, :width], chroma, letterbox, colours)
        worst = max(worst, int(np.abs(found.astype(np.int16) - expected).max()))
    each = job(COLOURS[0])
    began = time.perf_counter()
    for _ in range(repeats):
        lane.letterbox(each)
    lane.finish()
    together_us = (time.perf_counter() - began) / repeats * 1e6
    began = time.perf_counter()
    for _ in range(repeats):
        lane.letterbox(each)
        lane.finish()
    alone_us = (time.perf_counter() - began) / repeats * 1e6
    gpu.free(place)
    gpu.free(target)
    return {
        "source": source_wh,
        "target": target_wh,
        "worst": worst,
        "us_of_many": round(together_us, 2),
        "us_one_by_one": round(alone_us, 2),
    }


if __name__ == "__main__":
    main()
