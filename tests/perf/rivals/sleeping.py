"""A program that takes turns and does nothing but sleep, in the place of one with a network.

python -m tests.perf.rivals.sleeping {"frames": FILE, "sleep_s": S, "boxes": ROWS, "dies": REQUESTS, "spins": BOOL}
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.machine.turns import answers_to_parent, frames_from_job, take_turns


def main() -> None:
    job: dict[str, Any] = json.loads(sys.argv[1])
    done = 0

    def process(image_hwc_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        nonlocal done
        done += 1
        if done > job.get("dies", 1e9):
            print("out of memory", file=sys.stderr)
            os._exit(7)
        until = time.perf_counter() + job.get("sleep_s", 0.002)
        while job.get("spins") and time.perf_counter() < until:
            pass
        time.sleep(max(0.0, until - time.perf_counter()))
        return np.array(job.get("boxes", []), np.float32).reshape(-1, 6)

    with answers_to_parent() as answers:
        print("what a library prints is no answer", flush=True)
        take_turns(answers, process, frames_from_job(job), about={"threads": 1})


if __name__ == "__main__":
    main()
