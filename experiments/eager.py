"""PyTorch eager FP32, the row that every engine is compared with: Ultralytics' network as it comes, no server.

    python -m experiments.eager --weights yolo26m.yaml --batch 1,8 > eager.json

TF32 is off. The input lies on the device, every run is waited for, the host's clock sees all of it. Prints JSON:
milliseconds by batch size.

Backs: docs/benchmarking-goals.md, "That is 5.77 / 1.09 and 25.4 / 3.32 ms"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from typing import Any

from photofinish.percentiles import Values, carried_percentile
from photofinish.perf.engine.loops import timed_loop, torch_loop, warmed

WARM_UPS = 20
MIN_RUNS = 20
"""A median of three runs is none: the run takes longer where it must."""


def timed(weights: str, batch_size: int, seconds: float) -> dict[str, Any]:
    """P50, P95 and P99 of the network on noise of 640 × 640."""
    import torch
    from ultralytics import YOLO

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network: Any = YOLO(weights, verbose=False).model
    network = network.fuse(verbose=False).eval().to(device)
    loop = torch_loop(network, torch.rand(batch_size, 3, 640, 640, device=device))
    begun = time.perf_counter()
    warmed(loop, WARM_UPS)
    needed_s = MIN_RUNS * (time.perf_counter() - begun) / WARM_UPS
    measured = timed_loop(loop, max(seconds, needed_s), batch_size).latency_ns / 1e6
    return {
        "batch": batch_size,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "runs": len(measured),
        **percentiles_ms(measured),
    }


def percentiles_ms(measured: Values) -> dict[str, float | None]:
    """P50, P95 and P99 by nearest rank; None where there are too few runs for it."""
    figures = {percent: carried_percentile(measured, percent / 100) for percent in (50, 95, 99)}
    return {f"p{percent}_ms": None if figure is None else round(figure, 3) for percent, figure in figures.items()}


def main() -> None:
    """Run; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="yolo26n.yaml", help="a .pt file, or a .yaml for an untrained network")
    parser.add_argument("--batch", default="1", help="sizes, separated by commas")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each size")
    options = parser.parse_args()
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    # Ultralytics greets on stdout when it is imported for the first time.
    with contextlib.redirect_stdout(sys.stderr):
        rows = [timed(options.weights, int(size), options.seconds) for size in options.batch.split(",")]
    sys.stdout.write(json.dumps({"weights": options.weights, "tf32": False, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
