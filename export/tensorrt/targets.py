"""GPU architectures: as the user names them, the one at hand, and when an engine is stale."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass

from photofinish.errors import ConfigError

TARGET = re.compile(r"^sm_?(\d{2,3})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The GPU that engines are built on. target: its architecture, e.g. "sm120"."""

    name: str
    target: str


def gpu_at_hand() -> Gpu | None:
    """The first visible NVIDIA GPU, or None; None too on a machine without torch."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability(0)
    return Gpu(name=torch.cuda.get_device_name(0), target=f"sm{major}{minor}")


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
        "gpu": "" if targets else gpu.name if (gpu := gpu_at_hand()) else "",
    }


def _versions() -> dict[str, str]:
    """All that is installed of TensorRT: it comes under other names for each CUDA, or from the system."""
    found = importlib.metadata.distributions()
    names = {str(item.metadata["Name"]): item.version for item in found}
    return {name: version for name, version in sorted(names.items()) if name.lower().startswith("tensorrt")}
