"""The kernel's source to PTX, by NVRTC: `python -m photofinish.client.cameras.decode.nv12.building` writes the file.

And to a library for the CPU, by a C++ compiler: what runs on a GPU, run where there is none.

NVRTC needs no GPU: `pip install nvidia-cuda-nvrtc-cu12==12.4.127`. The driver of a GPU compiles PTX for itself when it
is loaded, so a user needs neither NVRTC nor a CUDA toolkit. An older NVRTC is taken on purpose: a driver refuses PTX
of a later CUDA than its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from photofinish.client.cameras.decode.nv12.job import LetterboxJob
from photofinish.errors import ConfigError
from photofinish.machine.compiler import compiled_libraries, find_compiler
from photofinish.machine.disk import user_cache_dir

SOURCE = Path(__file__).with_name("letterbox.cu")
PTX = Path(__file__).with_name("letterbox.ptx")
ARCHITECTURE = "compute_75"
"""Turing: a T4 and all that came after it."""
NVRTC_VERSION = (12, 4)
OPTIONS = (f"--gpu-architecture={ARCHITECTURE}", "--std=c++17")

CPU_SHIM = Path(__file__).with_name("on_cpu.cpp")
CPU_LIBRARY = "libphotofinish_letterbox.so"
CPU_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")


def source_key(source: str) -> str:
    """What tells in the PTX which source it was made from."""
    return hashlib.sha256(source.encode()).hexdigest()


def find_nvrtc() -> Path | None:
    """NVRTC's library of the version that the committed PTX was made by; None when its package is not installed."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        library = Path(folder) / "cuda_nvrtc" / "lib" / "libnvrtc.so.12"
        if library.is_file():
            return library
    return None


def ptx_from_source(source: str, library: Path) -> str:
    """PTX with a first line that names its source. Raises ConfigError with NVRTC's own words."""
    nvrtc = ctypes.CDLL(str(library))
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    if (major.value, minor.value) != NVRTC_VERSION:
        raise ConfigError(
            f"{library} is NVRTC {major.value}.{minor.value}, the kernel is compiled by {NVRTC_VERSION[0]}."
            f"{NVRTC_VERSION[1]}; pip install nvidia-cuda-nvrtc-cu12==12.4.127"
        )
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), SOURCE.name.encode(), 0, None, None)
    options = (ctypes.c_char_p * len(OPTIONS))(*(option.encode() for option in OPTIONS))
    with ThreadPoolExecutor(1) as thread:  # the compiler leaves its thread in the locale C, where all text is ASCII
        code = thread.submit(nvrtc.nvrtcCompileProgram, program, len(OPTIONS), options).result()
    if code != 0:
        raise ConfigError(f"{SOURCE.name} does not compile: {_text(nvrtc, program, 'nvrtcGetProgramLog')}")
    text = _text(nvrtc, program, "nvrtcGetPTX")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return f"// {SOURCE.name} {source_key(source)}\n{text}"


def _text(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, function: str) -> str:
    size = ctypes.c_size_t()
    nvrtc[f"{function}Size"](program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    nvrtc[function](program, text)
    return text.value.decode()


def compiled_kernel(on_progress: Callable[[str], None] = lambda text: None) -> Callable[[LetterboxJob], None]:
    """A function that does one job in host memory, one pixel after the other.

    Raises ConfigError without a compiler, CompileError when that fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise ConfigError("the letterbox kernel runs on the CPU only with a C++ compiler; apt install g++")
    folder = compiled_libraries(
        "letterbox kernel",
        {CPU_LIBRARY: [CPU_SHIM]},
        (*CPU_FLAGS, f'-DKERNEL="{SOURCE}"', f"-DKERNEL_{source_key(SOURCE.read_text())[:16]}"),
        cache=user_cache_dir(),
        compiler=compiler,
        telling="compiling the letterbox kernel for the CPU, once",
        on_progress=on_progress,
    )
    function = ctypes.CDLL(str(folder / CPU_LIBRARY)).letterbox_on_cpu
    function.argtypes = (ctypes.POINTER(LetterboxJob),)
    function.restype = None

    def run(job: LetterboxJob) -> None:
        function(ctypes.byref(job))

    return run


def main() -> int:
    """Write letterbox.ptx beside its source."""
    library = find_nvrtc()
    if library is None:
        sys.stderr.write("NVRTC is not installed; pip install nvidia-cuda-nvrtc-cu12==12.4.127\n")
        return 1
    PTX.write_text(ptx_from_source(SOURCE.read_text(), library))
    sys.stderr.write(f"{PTX} written\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
