"""Photofinish from Python: `from photofinish import Detector`, and the vocabulary that every room shares.

Nothing is loaded before it is used: `import photofinish` alone costs no more than this file.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photofinish.client.api.detector import Detector as Detector
    from photofinish.client.api.found import Found as Found
    from photofinish.errors import PhotofinishError as PhotofinishError

__version__ = "0.1.0"
__all__ = ["Detector", "Found", "PhotofinishError", "__version__"]
_OFFERED: Mapping[str, str] = {
    "Detector": "photofinish.client.api.detector",
    "Found": "photofinish.client.api.found",
    "PhotofinishError": "photofinish.errors",
}
"""What the package offers by itself, and the module that holds it."""


def __getattr__(name: str) -> Any:
    """What is offered, loaded now. Raises ImportError that says what to install where a library is missing."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_OFFERED[name]), name)
    except ModuleNotFoundError as exc:
        raise ImportError(
            f"photofinish.{name} needs {exc.name}; install it with `pip install 'photofinish[client]'`"
        ) from exc


def __dir__() -> list[str]:
    """What is there, with what is offered."""
    return sorted({*globals(), *_OFFERED})
