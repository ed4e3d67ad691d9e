"""Ultralytics as its users run it, in a process of its own: a network in plain PyTorch, or its own Triton client.

    python -m photofinish.export.rival_child JOB

JOB is JSON: `weights` (a .pt or .yaml, or `grpc://HOST:PORT/MODEL`), `device`, `imgsz`, `frames` (a .npy file),
`keeps_memory`. All other settings of `predict` are Ultralytics' own.

Where its habits would make it slower than PyTorch by itself they are undone: it gives PyTorch one thread less than
there are cores, and OpenMP one.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from photofinish.access.token import access_to
from photofinish.machine.processor import usable_cores
from photofinish.machine.turns import Rows, answers_to_parent, frames_from_job, keep_freed_memory, take_turns


def main() -> None:
    """Load what the job names, then measure whenever it is this process's turn."""
    job = json.loads(sys.argv[1])
    cores = usable_cores()
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))  # before the import: Ultralytics would say 1
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    with answers_to_parent() as answers:
        import torch
        from ultralytics import YOLO

        if job["keeps_memory"]:
            keep_freed_memory()
        if job["weights"].startswith("grpc://"):
            send_headers(access_to(urlsplit(job["weights"]).netloc).grpc_headers or {})
        torch.manual_seed(0)  # an untrained network has the weights that were exported
        model = YOLO(job["weights"], task="detect")
        frames = frames_from_job(job)

        def process(image_hwc_bgr: npt.NDArray[np.uint8]) -> Rows:
            found = model.predict(image_hwc_bgr, device=job["device"], imgsz=job["imgsz"], verbose=False)[0]
            rows: Rows = found.boxes.data.cpu().numpy()
            return rows

        process(frames[0])  # choosing the device sets the threads
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        take_turns(answers, process, frames, about={"threads": torch.get_num_threads(), "torch": torch.__version__})


def send_headers(headers: Mapping[str, str]) -> None:
    """Make every client of tritonclient send these headers, the server's token: by its own plug-in, since Ultralytics'
    client knows none."""
    if not headers:
        return
    triton_grpc: Any = importlib.import_module("tritonclient.grpc")  # Ultralytics' choice, none of ours
    plugin: Any = triton_grpc.InferenceServerClientPlugin
    original: Any = triton_grpc.InferenceServerClient

    class Headers(plugin):
        """Adds them to each request."""

        def __call__(self, request: Any) -> None:
            request.headers.update(headers)

    class Client(original):
        """A client that has the plug-in from its first request on."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.register_plugin(Headers())

    triton_grpc.InferenceServerClient = Client


if __name__ == "__main__":
    main()
