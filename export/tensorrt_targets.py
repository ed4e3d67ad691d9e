"""GPU architectures as the user names them, and what decides whether an engine is stale."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

from photofinish.errors import ConfigError

TARGET = re.compile(r"^sm_?(\d{2,3})$")
DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13-bindings", "tensorrt-rtx-cu13-bindings")
"""Packages whose version decides what an engine is."""


def targets_from_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """The architectures in our spelling, each once, in the order given."""
    return tuple(dict.fromkeys(target_from_text(text) for text in texts))


def target_from_text(text: str) -> str:
    """The architecture in our spelling, `sm120`, from `sm120`, `SM_120`, `120` or `12.0`. Raises ConfigError."""
    bare = text.strip().lower().replace(".", "")
    match = TARGET.match(bare if bare.startswith("sm") else f"sm{bare}")
    if not match:
        raise ConfigError(
            "--target must name a GPU architecture such as sm120 (RTX 50), sm89 (RTX 40), sm86 (RTX 30, A10) "
            f"or sm75 (T4), got {text!r}"
        )
    return f"sm{match[1]}"


def engine_settings(targets: tuple[str, ...]) -> dict[str, object]:
    """What an engine depends on besides its graph: targets, library versions, the GPU it is built on."""
    return {
        "targets": targets,
        "versions": {name: _version(name) for name in DISTRIBUTIONS},
        "gpu": "" if targets else _gpu_name(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _gpu_name() -> str:
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ""
