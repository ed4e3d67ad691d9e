"""GPU architectures as the user names them, and what decides whether an engine is stale."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

from photofinish.errors import ConfigError

TARGET = re.compile(r"^sm_?(\d{2,3})$")


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
        "versions": _versions(),
        "gpu": "" if targets else _gpu_name(),
    }


def _versions() -> dict[str, str]:
    """All that is installed of TensorRT: it comes under other names for each CUDA, or from the system."""
    found = importlib.metadata.distributions()
    names = {str(item.metadata["Name"]): item.version for item in found}
    return {name: version for name, version in sorted(names.items()) if name.lower().startswith("tensorrt")}


def _gpu_name() -> str:
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ""
