"""The client's own compiled code: pictures resized and rows read in one pass each; without it OpenCV and numpy do both.

Both give the very values of what they stand in for, on the calling thread, outside the GIL. OpenCV's threads stay
asleep: on a machine with many cores they wait busily after each picture, which costs more than the resizing.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photofinish.detections import MAX_ROWS, ROW_WIDTH, Detections, ReadRows
from photofinish.letterbox import Letterbox, Resize
from photofinish.machine.compiler import CompileError, compiled_libraries, find_compiler
from photofinish.machine.disk import user_cache_dir

SWITCH = "PHOTOFINISH_NATIVE"
"""Environment variable: "off" leaves every picture to OpenCV and every answer to numpy."""
SOURCES = Path(__file__).resolve().parent
LIBRARY = "libphotofinish_client.so"
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden")
NOTICE = "pictures are resized by OpenCV, at some 0.2 ms more a picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """What is compiled. resize: into an input; read_rows: out of an answer. None: OpenCV, numpy."""

    resize: Resize | None = None
    read_rows: ReadRows | None = None


def native_client(on_notice: Callable[[str], None]) -> Native:
    """The compiled functions; none, with the reason told, where they are switched off or cannot be compiled."""
    if os.environ.get(SWITCH) == "off":
        return Native()
    compiler = find_compiler()
    if compiler is None:
        on_notice(f"no C++ compiler found: {NOTICE} (Debian, Ubuntu: apt install g++)")
        return Native()
    try:
        library = client_library(compiler, on_notice)
        return Native(resize=resize_from_library(library), read_rows=read_rows_from_library(library))
    except (CompileError, OSError, AttributeError) as exc:
        on_notice(f"the client's resizing cannot be compiled or loaded ({exc}): {NOTICE}")
        return Native()


def client_library(compiler: str, on_progress: Callable[[str], None]) -> Path:
    """The shared library, compiled where the user's cache does not have it. Raises CompileError."""
    folder = compiled_libraries(
        "client",
        {LIBRARY: [SOURCES / "resize.cpp", SOURCES / "rows.cpp"]},
        FLAGS,
        cache=user_cache_dir(),
        compiler=compiler,
        telling="compiling the client's resizing (once)",
        on_progress=on_progress,
    )
    return folder / LIBRARY


def resize_from_library(library: Path, *, wide: bool = True) -> Resize:
    """The function of a compiled library; `wide` False does without the processor's vectors. Raises OSError."""
    function = ctypes.CDLL(str(library)).photofinish_resize
    size = ctypes.c_int64
    function.argtypes = [ctypes.c_void_p, size, size, size, ctypes.c_void_p, size, size, size, size]
    function.restype = None

    def resize(source_hwc: npt.NDArray[np.uint8], out_hwc: npt.NDArray[np.uint8]) -> bool:
        if not (_is_plain(source_hwc) and _is_plain(out_hwc)):
            return False
        (source_h, source_w, _), (height, width, _) = source_hwc.shape, out_hwc.shape
        source_stride, out_stride = source_hwc.strides[0], out_hwc.strides[0]
        function(
            *(_address(source_hwc), source_stride, source_w, source_h),
            *(_address(out_hwc), out_stride, width, height, wide),
        )
        return True

    return resize


def read_rows_from_library(library: Path) -> ReadRows:
    """The function of a compiled library. Raises OSError."""
    function = ctypes.CDLL(str(library)).photofinish_rows
    size, number, pointer = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
    function.argtypes = [pointer, size, size, *([number] * 6), pointer, pointer, pointer]
    function.restype = size
    rooms = threading.local()

    def read_rows(rows: npt.NDArray[np.float32], letterbox: Letterbox, min_confidence: float) -> Detections | None:
        count = len(rows)
        if rows.dtype != np.float32 or rows.shape[1] != ROW_WIDTH or rows.strides[1] != 4 or count > MAX_ROWS:
            return None
        if not rows.flags.aligned:  # they lie behind a head of any length
            rows = rows.copy()
        try:
            boxes, confidence, classes, addresses = rooms.arrays
        except AttributeError:
            boxes, confidence = np.empty((MAX_ROWS, 4), np.float32), np.empty(MAX_ROWS, np.float32)
            classes = np.empty(MAX_ROWS, np.int32)
            addresses = [_address(array) for array in (boxes, confidence, classes)]
            rooms.arrays = boxes, confidence, classes, addresses
        found = function(
            *(_address(rows), count, rows.strides[0] // 4, min_confidence),
            *(*letterbox.offset_xy, letterbox.scale, *letterbox.source_wh),
            *addresses,
        )
        return Detections(
            boxes_xyxy=boxes[:found].copy(), confidence=confidence[:found].copy(), class_id=classes[:found].copy()
        )

    return read_rows


def _address(array: npt.NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])


def _is_plain(image_hwc: npt.NDArray[np.uint8]) -> bool:
    """Whether the pixels of each row lie side by side, three bytes each, and rows may be apart."""
    return (
        image_hwc.dtype == np.uint8
        and image_hwc.ndim == 3
        and image_hwc.shape[2] == 3
        and image_hwc.strides[1:] == (3, 1)
        and image_hwc.strides[0] > 0
        and image_hwc.size > 0
    )
