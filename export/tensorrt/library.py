"""The TensorRT libraries behind one face: `tensorrt` 10 and 11, and `tensorrt_rtx`.

Their Python interfaces agree in every name this package uses except those in ONLY_RTX; tests/export/tensorrt reads the
names out of each library's bindings. Nothing outside this folder touches them.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photofinish.engine_record import LibraryName
from photofinish.errors import ExportError, reason_from_error
from photofinish.export.tensorrt.targets import TARGET, Gpu

logger = logging.getLogger(__name__)

MODULES: Mapping[LibraryName, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt_bindings"),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
"""Where each library is imported from, first found first. The `_bindings` packages take a system's own libraries."""

INSTALL: Mapping[LibraryName, str] = {
    "tensorrt": "pip install tensorrt-cu13",
    "tensorrt_rtx": 'pip install "photofinish[tensorrt-rtx]"',
}

ONLY_RTX = ("ComputeCapability", "num_compute_capabilities", "set_compute_capability")
"""Names that `tensorrt_rtx` has and `tensorrt` has not: it builds for a GPU that is not there."""

MIN_VERSION: Mapping[LibraryName, tuple[int, int]] = {"tensorrt": (10, 8), "tensorrt_rtx": (1, 0)}
"""10.8 is the first `tensorrt` that knows SM120."""

PROVIDER = "TensorrtExecutionProvider"
LIBRARY = "libonnxruntime_providers_tensorrt.so"
_NEEDED = re.compile(rb"lib(?:nvinfer|nvonnxparser)\.so\.(\d+)")
_WHEELS = ("tensorrt_libs", "tensorrt")
"""Packages that bring TensorRT's libraries in where the system's loader does not find them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRTLibrary:
    """An imported library. version: e.g. "10.16.1.11". module: its Python bindings."""

    name: LibraryName
    version: str
    module: Any

    @property
    def targets(self) -> tuple[str, ...]:
        """The architectures it builds for without that GPU; () for `tensorrt`, which builds for the GPU at hand."""
        capabilities = getattr(self.module, "ComputeCapability", None)
        if capabilities is None:
            return ()
        names = (name.lower() for name in capabilities.__members__)
        return tuple(sorted((name for name in names if TARGET.match(name)), key=lambda name: int(name[2:])))


def imported_library(name: LibraryName) -> TensorRTLibrary | None:
    """The library of that name, or None where it is not installed or its shared libraries are missing."""
    for module_name in MODULES[name]:
        try:
            module = importlib.import_module(module_name)
        except (ImportError, OSError) as exc:  # the latter of a package that opens its libraries itself
            logger.debug("%s cannot be imported: %s", module_name, exc)
            continue
        if hasattr(module, "Builder"):
            return TensorRTLibrary(name=name, version=str(module.__version__), module=module)
    return None


def choose_library(target: str | None, gpu: Gpu | None) -> tuple[TensorRTLibrary, str]:
    """The library that builds for `target` (the GPU at hand when None), and the target.

    `tensorrt` is taken where it can be, since the container serves its engines too. Raises ExportError with what to
    install or to ask for.
    """
    if target is None and gpu is None:
        raise ExportError(
            "this machine has no NVIDIA GPU to build a TensorRT engine for; name one with --target, "
            "e.g. --target sm120 for an RTX 5070 or sm89 for an RTX 4090"
        )
    wanted = target or (gpu.target if gpu else "")
    at_hand = gpu is not None and gpu.target == wanted
    candidates: tuple[LibraryName, ...] = ("tensorrt", "tensorrt_rtx") if at_hand else ("tensorrt_rtx",)
    reasons = []
    for name in candidates:
        library = imported_library(name)
        if library is None:
            reasons.append(f"{name} is not installed ({INSTALL[name]})")
        elif problem := problem_with(library, wanted):
            reasons.append(problem)
        else:
            return library, wanted
    where = "" if at_hand else " on a machine without that GPU"
    raise ExportError(f"no TensorRT here builds for {wanted}{where}: {'; '.join(reasons)}")


def problem_with(library: TensorRTLibrary, target: str) -> str:
    """Why the library cannot build for `target`, with the remedy; "" when it can as far as its version tells."""
    if version_tuple(library.version) < MIN_VERSION[library.name]:
        least = ".".join(map(str, MIN_VERSION[library.name]))
        return f"{library.name} {library.version} is older than {least} ({INSTALL[library.name]} --upgrade)"
    if library.targets and target not in library.targets:
        return f"{library.name} {library.version} knows {', '.join(library.targets)} and not {target}"
    return ""


def version_tuple(version: str) -> tuple[int, int]:
    """Major and minor of a version such as "10.16.1.11"; 0 for what it does not tell."""
    major, minor, *_ = (*(int(part) for part in re.findall(r"\d+", version)), 0, 0)
    return major, minor


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProblem:
    """Why ONNX Runtime cannot hand a graph to TensorRT here, and what helps."""

    found: str
    remedy: str

    def __str__(self) -> str:
        """Both in one line."""
        return f"{self.found}; {self.remedy}"


def provider_problem(*, ort: Any = None, load: Callable[[str], object] = ctypes.CDLL) -> ProviderProblem | None:
    """What keeps ONNX Runtime from handing a graph to TensorRT here; None when nothing does.

    The provider's own library is read, not loaded: ONNX Runtime must be the first to load it.
    """
    ort = ort or importlib.import_module("onnxruntime")
    if PROVIDER not in ort.get_available_providers():
        return ProviderProblem(
            found=f"this ONNX Runtime {ort.__version__} has no TensorRT provider",
            remedy="install onnxruntime-gpu in place of onnxruntime on a machine with an NVIDIA GPU",
        )
    library = Path(ort.__file__).parent / "capi" / LIBRARY
    if not library.is_file():
        return ProviderProblem(found=f"{library} does not exist", remedy="install onnxruntime-gpu again")
    needed = {found[0].decode(): int(found[1]) for found in _NEEDED.finditer(library.read_bytes())}
    for name in _WHEELS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name, major in sorted(needed.items()):
        try:
            load(name)
        except OSError as exc:
            return ProviderProblem(
                found=f"ONNX Runtime {ort.__version__} was built for TensorRT {major} and {name} cannot be loaded "
                f"({reason_from_error(exc)})",
                remedy=f'pip install "tensorrt-cu13>={major},<{major + 1}", which comes from NVIDIA\'s own index',
            )
    return None
