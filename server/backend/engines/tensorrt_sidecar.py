"""The engine file of this GPU and the sidecar that says what it is; a mismatch is refused before anything is loaded.

The sidecar's keys are those of photofinish/engine_record.py.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any

from ..model import RefusedModelError

SIDECAR_SCHEMA_VERSION = 1
MODULES = {
    "tensorrt": ("tensorrt", "tensorrt_bindings"),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
INSTALL = {
    "tensorrt": "pip install tensorrt-cu13=={version}",
    "tensorrt_rtx": "pip install tensorrt-rtx-cu13-libs=={version} tensorrt-rtx-cu13-bindings=={version}",
}


def file_for_capability(names: dict[str, str], default_name: str, capability: tuple[int, int]) -> str:
    """The engine's file name for a GPU, as Triton chooses it: by cc_model_filenames, else the default."""
    return str(names.get(f"{capability[0]}.{capability[1]}", default_name))


def read_sidecar(engine: Path) -> dict[str, Any]:
    """The sidecar of an engine, checked for form. Raises RefusedModelError."""
    path = engine.with_name(engine.name + ".json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = record["schema_version"]
        complete = all(key in record for key in ("engine_sha256", "library", "library_version", "target", "rebuild"))
    except FileNotFoundError as exc:
        raise RefusedModelError(
            f"{engine} has no sidecar {path.name} to say what built it; export the model again"
        ) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RefusedModelError(f"the sidecar {path} cannot be read ({exc}); export the model again") from exc
    if version != SIDECAR_SCHEMA_VERSION or not complete or record["library"] not in MODULES:
        raise RefusedModelError(
            f"the sidecar {path} is of schema_version {version} or incomplete, expected {SIDECAR_SCHEMA_VERSION}; "
            "export the model again"
        )
    return dict(record)


def check_sidecar(engine: Path, record: dict[str, Any], capability: tuple[int, int]) -> None:
    """Raise RefusedModelError unless the engine is the sidecar's and was built for this GPU."""
    target = f"sm{capability[0]}{capability[1]}"
    if record["target"] != target:
        # Without its targets the command builds for the GPU at hand.
        command = re.sub(r" --target \S+", "", record["rebuild"])
        raise RefusedModelError(
            f"{engine.name} was built for {record['target']} and this GPU is {target}. Rebuild it on this machine: "
            f"{command}"
        )
    with engine.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != record["engine_sha256"]:
        raise RefusedModelError(
            f"{engine.name} is not the file its sidecar describes (SHA-256 {digest.hexdigest()[:12]}, "
            f"expected {record['engine_sha256'][:12]}). Rebuild it: {record['rebuild']}"
        )


def import_library(record: dict[str, Any]) -> Any:
    """The library that built the engine, in the same version. Raises RefusedModelError saying how to install it."""
    name, wanted = record["library"], record["library_version"]
    install = INSTALL[name].format(version=wanted)
    reasons = []
    for module_name in MODULES[name]:
        try:
            module = importlib.import_module(module_name)
        except ImportError as exc:
            reasons.append(str(exc))
            continue
        if module.__version__ != wanted:
            raise RefusedModelError(
                f"the engine was built by {name} {wanted} and this is {module.__version__}; engines load in their own "
                f"version only. Rebuild it: {record['rebuild']}, or {install}"
            )
        return module
    raise RefusedModelError(f"the engine needs {name} {wanted}, which cannot be imported ({reasons[0]}); {install}")
