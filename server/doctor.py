"""What on this machine works for Photofinish, what does not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from photofinish import __version__
from photofinish.errors import ServerError
from photofinish.machine.addresses import LOOPBACK
from photofinish.machine.architectures import sentence, target_from_capability, why_not_on
from photofinish.machine.compiler import find_compiler
from photofinish.machine.disk import free_bytes, user_cache_dir
from photofinish.machine.gpu import gpu_lines_from_nvidia_smi
from photofinish.machine.processor import arithmetic_words, cpu_name, processor_flags, usable_cores
from photofinish.server.triton.files import (
    TRITON_DIR_VARIABLE,
    TRITON_REQUIREMENT,
    TRITON_VERSION,
    check_platform,
    find_libpython,
    glibc_version,
    triton_on_disk,
)
from photofinish.server.triton.supervisor import SHARED_MEMORY

Status = Literal["works", "note", "fails"]
MIN_FREE_GIB = 2.0
MIN_SHARED_MEMORY_GIB = 0.25
PROBE_TIMEOUT_S = 120.0
SERVER_PORTS, PAGE_PORT = (8000, 8001, 8002), 7860
EXTRAS = ("server", "client", "export", "perf")
_SUBSTITUTES = {"onnxruntime": ("onnxruntime-gpu",), "opencv-python-headless": ("opencv-python",)}

_PROBE = """
import json
found = {}
try:
    import torch
    found["torch"] = {"version": torch.__version__, "cuda": torch.cuda.is_available(), "built_for": torch.version.cuda}
except ImportError as exc:
    found["torch"] = {"missing": str(exc)}
try:
    import onnxruntime
    found["onnxruntime"] = {"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}
except ImportError as exc:
    found["onnxruntime"] = {"missing": str(exc)}
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. status "note": something optional is absent; "fails": a part of Photofinish cannot work here."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine(cache_dir: Path | None = None) -> tuple[Check, ...]:
    """All findings about this machine. Starts one Python process that imports torch and ONNX Runtime."""
    gpus = gpu_lines_from_nvidia_smi()
    return (
        Check(
            name="Photofinish",
            status="works",
            found=f"{__version__} on Python {platform.python_version()}, {sys.prefix}",
        ),
        _platform_check(),
        Check(
            name="processor",
            status="works",
            found=f"{cpu_name()}, {usable_cores()} cores; computes in {arithmetic_words(processor_flags())}",
        ),
        _libpython_check(),
        _triton_check(),
        _bridge_check(),
        _gpu_check(gpus),
        *_arithmetic_checks(gpus),
        *_engine_checks(_probe_engines(), has_gpu=bool(gpus)),
        *(_extra_check(extra) for extra in EXTRAS),
        _ports_check(),
        _space_check("disk", Path.cwd(), MIN_FREE_GIB, "free some space; exported models and the cache need it"),
        _space_check("cache", cache_dir or user_cache_dir(), MIN_FREE_GIB, "free some space or set PHOTOFINISH_CACHE"),
        _shared_memory_check(SHARED_MEMORY),
    )


def _platform_check() -> Check:
    glibc = ".".join(map(str, glibc_version())) or "none"
    found = f"{platform.system()} on {platform.machine()}, glibc {glibc}"
    try:
        check_platform()
    except ServerError as exc:
        return Check(name="platform", status="fails", found=found, remedy=str(exc))
    return Check(name="platform", status="works", found=found)


def _libpython_check() -> Check:
    try:
        return Check(name="libpython", status="works", found=str(find_libpython()))
    except ServerError as exc:
        return Check(name="libpython", status="fails", found="no shared libpython", remedy=str(exc))


def _triton_check() -> Check:
    try:
        files = triton_on_disk(find_libpython())
    except ServerError as exc:
        return Check(name="Triton", status="fails", found="cannot run here", remedy=str(exc))
    if files is None:
        return Check(
            name="Triton",
            status="note",
            found=f"{TRITON_REQUIREMENT} is not here yet",
            remedy=f"the first `photofinish serve` downloads 53 MiB with pip, or set {TRITON_DIR_VARIABLE}",
        )
    return Check(name="Triton", status="works", found=f"{TRITON_VERSION} in {files.root}")


def _bridge_check() -> Check:
    compiler = find_compiler()
    if compiler is None:
        return Check(
            name="bridge",
            status="note",
            found="no C++ compiler: Triton's Python backend runs the models, at some 0.2 ms more a request",
            remedy="install one (Debian, Ubuntu: apt install g++)",
        )
    return Check(name="bridge", status="works", found=f"compiled by {compiler} when the server first starts")


def _gpu_check(gpus: list[str]) -> Check:
    if not gpus:
        return Check(
            name="GPU",
            status="note",
            found="no NVIDIA GPU answers nvidia-smi",
            remedy="everything runs on the CPU; for a GPU install NVIDIA's driver",
        )
    return Check(name="GPU", status="works", found="; ".join(gpus))


def _arithmetic_checks(gpus: list[str]) -> Iterable[Check]:
    """What each kind of GPU here can compute in, as `photofinish export` takes it too."""
    targets = (target_from_capability(line.rpartition(",")[2]) for line in gpus)
    for target in filter(None, dict.fromkeys(targets)):
        trouble = why_not_on(target, "tensorrt", "fp32")
        yield Check(name="GPU arithmetic", status="note" if trouble else "works", found=sentence(target))


def _probe_engines() -> dict[str, dict[str, object]]:
    """Versions and devices of torch and ONNX Runtime as the running interpreter sees them; {} when it cannot tell."""
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True
        )
        found: dict[str, dict[str, object]] = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return found


def _engine_checks(found: dict[str, dict[str, object]], *, has_gpu: bool) -> Iterable[Check]:
    torch = found.get("torch", {"missing": "importing it failed"})
    ort = found.get("onnxruntime", {"missing": "importing it failed"})
    install = "pip install 'photofinish[server]'"
    if "missing" in torch:
        yield Check(name="torch", status="note", found=str(torch["missing"]), remedy=install)
    elif has_gpu and not torch["cuda"]:
        remedy = (
            f"this torch is built for CUDA {torch['built_for']}; install one that suits the driver, see pytorch.org"
        )
        yield Check(name="torch", status="fails", found=f"{torch['version']} does not see the GPU", remedy=remedy)
    else:
        where = "CUDA" if torch["cuda"] else "CPU"
        yield Check(name="torch", status="works", found=f"{torch['version']} on {where}")
    if "missing" in ort:
        yield Check(name="ONNX Runtime", status="note", found=str(ort["missing"]), remedy=install)
    elif has_gpu and "CUDAExecutionProvider" not in str(ort["providers"]):
        remedy = "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        yield Check(
            name="ONNX Runtime",
            status="fails",
            found=f"{ort['version']} is a CPU build on a GPU machine",
            remedy=remedy,
        )
    else:
        yield Check(name="ONNX Runtime", status="works", found=f"{ort['version']} with {_joined(ort['providers'])}")


def _joined(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) else str(values)


def _extra_check(extra: str) -> Check:
    name = f"extra {extra}"
    try:
        lacking = [package for package in extra_packages(extra) if not _is_installed(package)]
    except importlib.metadata.PackageNotFoundError:
        return Check(
            name=name,
            status="note",
            found="unknown: Photofinish runs from a checkout without being installed",
            remedy=f"pip install -e '.[{extra}]' in the checkout",
        )
    if lacking:
        return Check(
            name=name, status="note", found=f"lacks {', '.join(lacking)}", remedy=f"pip install 'photofinish[{extra}]'"
        )
    return Check(name=name, status="works", found="installed")


def extra_packages(extra: str) -> list[str]:
    """Names of the packages that one of Photofinish's extras asks for."""
    wanted = []
    for line in importlib.metadata.requires("photofinish") or ():
        requirement, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
        if name and name[0] != "photofinish" and re.search(rf"extra\s*==\s*['\"]{extra}['\"]", marker):
            wanted.append(name[0])
    return wanted


def _is_installed(package: str) -> bool:
    for name in (package, *_SUBSTITUTES.get(package, ())):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return True
    return False


def _ports_check() -> Check:
    taken = []
    for port in (*SERVER_PORTS, PAGE_PORT):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.5)
            if probe.connect_ex((LOOPBACK, port)) == 0:
                taken.append(port)
    if not taken:
        return Check(name="ports", status="works", found="8000, 8001, 8002 and 7860 are free")
    serve = "`photofinish serve --grpc-port 0 --http-port 0 --metrics-port 0` takes free ones"
    page = "a page takes the next free port and says which"
    remedies = [serve] * bool(set(taken) & set(SERVER_PORTS)) + [page] * (PAGE_PORT in taken)
    found = f"{', '.join(map(str, taken))} in use (a running server or page, perhaps)"
    return Check(name="ports", status="note", found=found, remedy="; ".join(remedies))


def _shared_memory_check(folder: Path) -> Check:
    if not folder.is_dir():
        return Check(
            name="shared memory",
            status="fails",
            found=f"there is no {folder}",
            remedy=f"mount a tmpfs there: mount -t tmpfs -o size=1g tmpfs {folder}",
        )
    remedy = f"enlarge {folder} (docker: --shm-size=1g); each model instance and each camera uses some"
    return _space_check("shared memory", folder, MIN_SHARED_MEMORY_GIB, remedy)


def _space_check(name: str, folder: Path, least_gib: float, remedy: str) -> Check:
    existing = next((path for path in (folder, *folder.absolute().parents) if path.exists()), Path("/"))
    gib = free_bytes(existing) / 2**30
    found = f"{gib:.1f} GiB free for {folder}"
    if not os.access(existing, os.W_OK):
        remedy = (
            "correct its permissions" if folder == SHARED_MEMORY else "correct its permissions, or use another folder"
        )
        return Check(name=name, status="fails", found=f"{folder} is not writable", remedy=remedy)
    return Check(
        name=name,
        status="works" if gib >= least_gib else "fails",
        found=found,
        remedy="" if gib >= least_gib else remedy,
    )


def text_from_checks(checks: Iterable[Check]) -> str:
    """The findings as text, each remedy on a line of its own."""
    lines = []
    for check in checks:
        lines.append(f"{check.status:<6} {check.name:<14} {check.found}")
        if check.remedy:
            lines.append(f"{'':<22}→ {check.remedy}")
    return "\n".join(lines)
