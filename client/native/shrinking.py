"""Pictures made smaller by a whole factor in one pass of compiled code; OpenCV does the others, and all without it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photofinish.letterbox import Shrink
from photofinish.machine.compiler import CompileError, compiled_libraries, find_compiler
from photofinish.wheels import user_cache_dir

SWITCH = "PHOTOFINISH_NATIVE"
"""Environment variable: "off" leaves every picture to OpenCV."""
SOURCES = Path(__file__).resolve().parent
LIBRARY = "libphotofinish_client.so"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden")
NOTICE = "pictures are resized by OpenCV, at some 0.2 ms more a picture"


def native_shrink(on_notice: Callable[[str], None]) -> Shrink | None:
    """The compiled function; None, with the reason told, where it is switched off or cannot be compiled.

    It writes the very values of OpenCV's INTER_LINEAR and COLOR_BGR2RGB, on the calling thread, outside the GIL.
    """
    if os.environ.get(SWITCH) == "off":
        return None
    compiler = find_compiler()
    if compiler is None:
        on_notice(f"no C++ compiler found: {NOTICE} (Debian, Ubuntu: apt install g++)")
        return None
    try:
        return shrink_from_library(client_library(compiler, on_notice))
    except (CompileError, OSError, AttributeError) as exc:
        on_notice(f"the client's resizing cannot be compiled or loaded ({exc}): {NOTICE}")
        return None


def client_library(compiler: str, on_progress: Callable[[str], None]) -> Path:
    """The shared library, compiled where the user's cache does not have it. Raises CompileError."""
    folder = compiled_libraries(
        "client",
        {LIBRARY: [SOURCES / "shrink.cpp"]},
        FLAGS,
        cache=user_cache_dir(),
        compiler=compiler,
        telling="compiling the client's resizing (once)",
        on_progress=on_progress,
    )
    return folder / LIBRARY


def shrink_from_library(library: Path, *, wide: bool = True) -> Shrink:
    """The function of a compiled library; `wide` False does without the processor's vectors. Raises OSError."""
    function = ctypes.CDLL(str(library)).photofinish_shrink
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, *([ctypes.c_int64] * 5)]
    function.restype = None

    def shrink(source_hwc: npt.NDArray[np.uint8], out_hwc: npt.NDArray[np.uint8]) -> bool:
        height, width = out_hwc.shape[:2]
        factor = source_hwc.shape[1] // width
        if factor < 2 or source_hwc.shape != (factor * height, factor * width, 3) or not _is_plain(source_hwc, out_hwc):
            return False
        function(
            source_hwc.ctypes.data,
            source_hwc.strides[0],
            out_hwc.ctypes.data,
            out_hwc.strides[0],
            width,
            height,
            factor,
            int(wide),
        )
        return True

    return shrink


def _is_plain(*images_hwc: npt.NDArray[np.uint8]) -> bool:
    """Whether the pixels of each row lie side by side, three bytes each, and rows may be apart."""
    return all(
        image.dtype == np.uint8 and image.ndim == 3 and image.strides[1:] == (3, 1) and image.strides[0] > 0
        for image in images_hwc
    )
