"""ONNX Runtime's TensorRT provider: is it here, and the TensorRT that it was built for?"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROVIDER = "TensorrtExecutionProvider"
LIBRARY = "libonnxruntime_providers_tensorrt.so"
_NEEDED = re.compile(rb"lib(?:nvinfer|nvonnxparser)\.so\.(\d+)")
_WHEELS = ("tensorrt_libs", "tensorrt")
"""Packages that bring TensorRT's libraries in where the system's loader does not find them."""


def provider_problem(*, ort: Any = None, load: Callable[[str], object] = ctypes.CDLL) -> str:
    """Why ONNX Runtime cannot hand a graph to TensorRT here, with the remedy; "" when nothing stands in its way.

    The provider's own library is read, not loaded: ONNX Runtime must be the first to load it.
    """
    ort = ort or importlib.import_module("onnxruntime")
    if PROVIDER not in ort.get_available_providers():
        return (
            f"this ONNX Runtime {ort.__version__} has no TensorRT provider; "
            "install onnxruntime-gpu in place of onnxruntime on a machine with an NVIDIA GPU"
        )
    library = Path(ort.__file__).parent / "capi" / LIBRARY
    if not library.is_file():
        return f"{library} does not exist; install onnxruntime-gpu again"
    needed = {found[0].decode(): int(found[1]) for found in _NEEDED.finditer(library.read_bytes())}
    for name in _WHEELS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name, major in sorted(needed.items()):
        try:
            load(name)
        except OSError as exc:
            return (
                f"ONNX Runtime {ort.__version__} was built for TensorRT {major} and {name} cannot be loaded ({exc}); "
                f'pip install "tensorrt-cu13>={major},<{major + 1}", which comes from NVIDIA\'s own index'
            )
    return ""
