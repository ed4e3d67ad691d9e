"""The fingerprint of the machine and the software a figure belongs to."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from photofinish import __version__
from photofinish.address.hiding import looks_like_address, public_address
from photofinish.frame import Frame
from photofinish.machine.gpu import cuda_driver_version, driver_version, gpu_facts, gpu_handles
from photofinish.machine.processor import (
    cpu_name,
    distribution,
    load_average,
    memory_gib,
    system_name,
    usable_cores,
)

ENGINE_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "tensorrt-cu13",
    "tensorrt-cu13-bindings",
    "tensorrt-rtx-cu13-bindings",
)
"""What computes: two runs with other versions of them measure something else."""
_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "tritonclient",
    "grpcio",
    *ENGINE_PACKAGES,
    "ultralytics",
    "faster-coco-eval",
)

WAITING = ("OMP_", "GOMP_", "KMP_", "PHOTOFINISH_LANES")
"""How the variables begin that say how threads wait and how many there are: a library's, and the embedded server's."""


def environment_fingerprint(nvml: Any | None, *, server: dict[str, Any]) -> dict[str, Any]:
    """GPU, driver, CPU, system, packages, server and commit; flat enough to compare key by key."""
    return {
        "photofinish": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "system": system_name(),
        "distribution": distribution(),
        "cpu": cpu_name(),
        "cpu_cores": usable_cores(),
        "memory_gib": round(memory_gib(), 1),
        "load_average": round(load_average(), 2),
        "gpus": _gpus(nvml),
        "driver": driver_version(nvml),
        "cuda_driver": cuda_driver_version(nvml),
        "packages": _packages(),
        "waiting": {key: os.environ[key] for key in sorted(os.environ) if key.startswith(WAITING)},
        "server": server,
    }


def runtime_fingerprint(nvml: Any | None) -> dict[str, Any]:
    """What decides how a model's numbers are computed here: processor, GPUs, driver, packages."""
    gpus = [gpu["name"] for gpu in _gpus(nvml)]
    return {"cpu": cpu_name(), "gpus": gpus, "driver": driver_version(nvml), "packages": _packages()}


def utc_now() -> str:
    """The time as 2026-11-20T23:05:00Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def frames_fingerprint(spec: str, frames: Sequence[Frame]) -> dict[str, Any]:
    """What the pictures were: their source's name, number, size and hash, and how many differ from each other."""
    digest, pictures = hashlib.sha256(), set[bytes]()
    for frame in frames:
        pixels = frame.image_hwc_bgr.tobytes()
        digest.update(pixels)
        pictures.add(hashlib.sha256(pixels).digest())
    width, height = frames[0].size_wh
    name = (
        public_address(spec) if looks_like_address(spec) else spec if spec.startswith("synthetic") else Path(spec).name
    )
    return {
        "name": name,
        "frames": len(frames),
        "pictures": len(pictures),
        "width": width,
        "height": height,
        "sha256": digest.hexdigest(),
    }


def _commit() -> str:
    """The checkout's commit, with a mark when it was changed; unknown outside a checkout."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # a wheel may be installed inside somebody else's repository
        changed = " (changed)" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short=12", "HEAD") + changed
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _packages() -> dict[str, str]:
    return {name: version for name in _PACKAGES if (version := _version(name))}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _gpus(nvml: Any | None) -> list[dict[str, Any]]:
    return [gpu_facts(nvml, handle) for handle in gpu_handles(nvml)]
