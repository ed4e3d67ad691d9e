"""The fingerprint of the machine and the software a figure belongs to."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from photofinish import __version__
from photofinish.address.hiding import looks_like_address, public_address
from photofinish.frame import Frame

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "tritonclient",
    "grpcio",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "tensorrt-cu13",
    "tensorrt-cu13-bindings",
    "tensorrt-rtx-cu13-bindings",
    "ultralytics",
    "faster-coco-eval",
)


def environment_fingerprint(nvml: Any | None, *, server: dict[str, Any]) -> dict[str, Any]:
    """GPU, driver, CPU, system, packages, server and commit; flat enough to compare key by key."""
    return {
        "photofinish": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "cpu": _cpu_name(),
        "cpu_cores": usable_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "gpus": _gpus(nvml),
        "driver": _driver(nvml),
        "cuda_driver": _cuda_driver(nvml),
        "packages": _packages(),
        "server": server,
    }


def runtime_fingerprint(nvml: Any | None) -> dict[str, Any]:
    """What decides how a model's numbers are computed here: processor, GPUs, driver, packages."""
    gpus = [gpu["name"] for gpu in _gpus(nvml)]
    return {"cpu": _cpu_name(), "gpus": gpus, "driver": _driver(nvml), "packages": _packages()}


def utc_now() -> str:
    """The time as 2026-11-20T23:05:00Z."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def frames_fingerprint(spec: str, frames: Sequence[Frame]) -> dict[str, Any]:
    """What the pictures were: their source's name, number, size and hash."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(frame.image_hwc_bgr.tobytes())
    width, height = frames[0].size_wh
    name = (
        public_address(spec) if looks_like_address(spec) else spec if spec.startswith("synthetic") else Path(spec).name
    )
    return {
        "name": name,
        "frames": len(frames),
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


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _packages() -> dict[str, str]:
    return {name: version for name in _PACKAGES if (version := _version(name))}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _gpus(nvml: Any | None) -> list[dict[str, Any]]:
    if nvml is None:
        return []
    return [_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(nvml.nvmlDeviceGetCount())]


def _gpu(nvml: Any, handle: Any) -> dict[str, Any]:
    def told(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except nvml.NVMLError:
            return None

    return {
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "memory_mib": int(nvml.nvmlDeviceGetMemoryInfo(handle).total) // 2**20,
        "compute_capability": told(lambda: ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle)))),
        "power_limit_w": told(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        "max_sm_clock_mhz": told(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
    }


def _driver(nvml: Any | None) -> str:
    return _text(nvml.nvmlSystemGetDriverVersion()) if nvml else ""


def _cuda_driver(nvml: Any | None) -> str:
    if nvml is None:
        return ""
    version = int(nvml.nvmlSystemGetCudaDriverVersion())
    return f"{version // 1000}.{version % 1000 // 10}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
