"""C++ of ours, compiled once on this machine and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from photofinish.errors import PhotofinishError
from photofinish.machine.lock import locked
from photofinish.machine.processor import usable_cores

COMPILE_TIMEOUT_S = 120


class CompileError(PhotofinishError):
    """The compiler failed; the text is its first line about an error."""


def find_compiler() -> str | None:
    """A C++ compiler: $CXX, or the first of the usual names on PATH."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((name for name in names if name and shutil.which(shlex.split(name)[0])), None)


def compiled_libraries(
    name: str,
    libraries: Mapping[str, Sequence[Path]],
    flags: Sequence[str],
    *,
    cache: Path,
    compiler: str,
    telling: str,
    on_progress: Callable[[str], None],
) -> Path:
    """The folder of these shared libraries, each from its sources, compiled in this order where `cache` has them not.

    name: the folder in `cache`, and what a second process is told to wait for. telling: the line before compiling.
    A change of any source, or of a header beside one, compiles anew. Raises CompileError.
    """
    folder = cache / name / _key(compiler, flags, libraries)
    missing = [library for library in libraries if not (folder / library).is_file()]
    if not missing:
        return folder
    try:
        waiting = f"another process compiles the {name}; waiting for it"
        with locked(folder / "lock", waiting=waiting, on_progress=on_progress):
            missing = [library for library in libraries if not (folder / library).is_file()]
            if missing:
                on_progress(telling)
            for library in missing:
                _compile(compiler, flags, libraries[library], folder / library)
    except (OSError, subprocess.SubprocessError) as exc:
        said = getattr(exc, "stderr", None) or exc
        lines = str(said).splitlines()
        raise CompileError(next((line for line in lines if "error" in line.lower()), str(exc))) from exc
    return folder


def _key(compiler: str, flags: Sequence[str], libraries: Mapping[str, Sequence[Path]]) -> str:
    digest = hashlib.sha256(" ".join((compiler, *flags, *libraries)).encode())
    sources = {path for paths in libraries.values() for path in paths}
    headers = {header for path in sources for header in path.parent.glob("*.h")}
    for source in sorted(sources | headers):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _compile(compiler: str, flags: Sequence[str], sources: Sequence[Path], library: Path) -> None:
    """Write the library whole or not at all."""
    with tempfile.TemporaryDirectory(dir=library.parent) as name:
        built = Path(name) / library.name
        built_from_sources(compiler, flags, sources, built)
        built.replace(library)


def built_from_sources(compiler: str, flags: Sequence[str], sources: Sequence[Path], built: Path) -> None:
    """Compile each source, as many side by side as there are cores, and link them into `built`.

    Objects lie beside it. Raises what subprocess.run raises.
    """
    if len(sources) == 1:
        _run(compiler, flags, (str(sources[0]), "-o", str(built), "-ldl"))
        return
    objects = [built.with_name(f"{built.name}.{number}.o") for number in range(len(sources))]
    with ThreadPoolExecutor(usable_cores()) as pool:
        lines = [("-c", str(source), "-o", str(made)) for source, made in zip(sources, objects, strict=True)]
        list(pool.map(lambda line: _run(compiler, flags, line), lines))
    _run(compiler, flags, (*map(str, objects), "-o", str(built), "-ldl"))


def _run(compiler: str, flags: Sequence[str], words: Sequence[str]) -> None:
    line = [*shlex.split(compiler), *flags, *words]
    subprocess.run(line, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
