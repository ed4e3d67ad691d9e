"""How long OpenCV and the client's compiled resizing take for one letterboxed picture, in turn, on one thread each.

    python -m experiments.cpu.resizing > results/cpu2_resizing.json

Each size is a random picture that is letterboxed into 640 × 640 with its colours exchanged, as the optimised side
does it, in ROUNDS rounds of PICTURES pictures. The values are compared first. Prints JSON; times in microseconds.

Backs: docs/decisions.md, "OpenCV's thread pool stays asleep"
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np

from photofinish.client.native.library import client_library, resize_from_library
from photofinish.letterbox import Resize, letterbox_from_image, write_letterboxed
from photofinish.machine.compiler import find_compiler
from photofinish.percentiles import nearest_rank

SIZES_WH = ((1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
TARGET_WH = (640, 640)
ROUNDS, PICTURES = 10, 50


def measured_size(size_wh: tuple[int, int], resize: Resize) -> dict[str, object]:
    """Medians of both ways for one size, and whether every value was the same."""
    width, height = size_wh
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    letterbox = letterbox_from_image(image, TARGET_WH)
    outputs = {name: np.empty((TARGET_WH[1], TARGET_WH[0], 3), np.uint8) for name in ("opencv", "ours")}
    spent_ns: dict[str, list[float]] = {name: [] for name in outputs}
    for number in range(ROUNDS):
        for name in sorted(outputs, reverse=bool(number % 2)):
            for _ in range(PICTURES):
                begun_ns = time.perf_counter_ns()
                write_letterboxed(
                    image, letterbox, outputs[name], swap_channels=True, resize=resize if name == "ours" else None
                )
                spent_ns[name].append(time.perf_counter_ns() - begun_ns)
    medians = {
        f"{name}_p50_us": round(float(nearest_rank(np.array(spent), 0.5)) / 1e3, 1) for name, spent in spent_ns.items()
    }
    return {
        "size": f"{width}x{height}",
        **medians,
        "same_values": bool((outputs["opencv"] == outputs["ours"]).all()),
    }


def main() -> None:
    """Measure every size and print JSON."""
    compiler = find_compiler()
    if compiler is None:
        sys.exit("this needs a C++ compiler (Debian, Ubuntu: apt install g++)")
    cv2.setNumThreads(1)
    resize = resize_from_library(client_library(compiler, lambda line: None))
    rows = [measured_size(size_wh, resize) for size_wh in SIZES_WH]
    record = {"opencv": cv2.__version__, "rounds": ROUNDS, "pictures": PICTURES, "rows": rows}
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
