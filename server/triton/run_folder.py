"""The folder a server runs in: a repository's models, its backend directory and the one libpython it needs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from photofinish.errors import ModelRepositoryError, ServerError, said_of_file
from photofinish.server.backend.engine import ENGINES
from photofinish.server.backend.model import CORES
from photofinish.server.bridge.build import GUARD
from photofinish.server.triton.files import TritonFiles

BACKEND = Path(__file__).resolve().parent.parent / "backend"
"""The package that runs the models. It imports nothing else of ours, so that it works wherever it is copied to."""
PACKAGE = "photofinish_backend"
"""Its name there, where nothing but the interpreter's own packages can be imported."""
STUB = f"from {PACKAGE}.stub.model import TritonPythonModel\n"
"""The model.py that Triton's Python backend loads, with its folder on sys.path."""


def models_in(repository: Path) -> tuple[str, ...]:
    """The model names in a repository: its folders that hold a config.pbtxt or a numbered version.

    Raises ModelRepositoryError when there is no such folder or no model in it.
    """
    try:
        names = tuple(sorted(path.name for path in repository.iterdir() if _is_model(path)))
    except OSError as exc:
        raise ModelRepositoryError(
            f"the model repository {repository} cannot be read: {exc.strerror}; run `photofinish export` first"
        ) from exc
    if not names:
        raise ModelRepositoryError(f"the model repository {repository} holds no model; run `photofinish export` first")
    return names


def _is_model(path: Path) -> bool:
    if not path.is_dir() or path.name.startswith("."):
        return False
    return (path / "config.pbtxt").is_file() or any(item.name.isdigit() and item.is_dir() for item in path.iterdir())


def fill_run_folder(
    folder: Path, files: TritonFiles, repository: Path, models: tuple[str, ...], bridge: Path | None = None
) -> None:
    """Write `models/` (links into `repository`), `backends/` (Triton's Python backend and ours) and `lib/`.

    bridge: the compiled library that Triton then loads in place of each backend's model.py; None for the latter.
    """
    backends = folder / "backends"
    python = backends / "python"
    try:
        (folder / "models").mkdir()
        for name in models:
            (folder / "models" / name).symlink_to(repository / name)
        shutil.copytree(files.python_backend, python)
        shutil.copy2(files.stub, python)
        (python / files.stub.name).chmod(0o755)
        for name in ENGINES:
            shutil.copytree(BACKEND, backends / name / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
            (backends / name / "model.py").write_text(STUB, encoding="utf-8")
            if bridge:
                shutil.copy2(bridge, backends / name / f"libtriton_{name}.so")
                shutil.copy2(bridge.with_name(GUARD), backends / name / GUARD)
        library = folder / "lib"
        library.mkdir()
        if files.libpython.is_absolute():
            (library / files.libpython.name).symlink_to(files.libpython)
    except OSError as exc:
        raise ServerError(
            f"the server's run folder {folder} cannot be written: {said_of_file(exc)}; set TMPDIR to another"
        ) from exc


def server_environment(folder: Path, files: TritonFiles, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of tritonserver: its libraries, and the running interpreter first on PATH.

    The stub takes its site-packages from the first `python3` on PATH and ignores PYTHONPATH; the bridge starts the
    interpreter that PHOTOFINISH_PYTHON names.
    """
    libraries = [str(files.libraries), str(folder / "lib"), inherited.get("LD_LIBRARY_PATH", "")]
    path = [str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]
    return {
        **inherited,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PHOTOFINISH_PYTHON": sys.executable,
    }


def one_gpu(gpu: int | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """What lets a server see one GPU, by its number among those that this process sees; nothing for all."""
    if gpu is None:
        return {}
    visible = [name.strip() for name in inherited.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return {"CUDA_VISIBLE_DEVICES": visible[gpu] if gpu < len(visible) else str(gpu)}


def own_cores(cores: Mapping[str, Sequence[int]] | None) -> dict[str, str]:
    """What keeps each named model's process to its cores; nothing where there are none."""
    return {CORES: json.dumps({name: list(numbers) for name, numbers in cores.items()})} if cores else {}


def preloaded(bridge: Path | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the server's program alone gets beside: the bridge before Triton's library, to say which models are ready.

    The bridge takes it out of the environment again, so that no model process has it.
    """
    if bridge is None:
        return {}
    return {"LD_PRELOAD": ":".join(filter(None, [str(bridge), inherited.get("LD_PRELOAD", "")]))}
