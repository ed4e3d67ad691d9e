"""Every word of a report, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from photofinish.errors import ConfigError

Language = Literal["en", "zh"]
LANGUAGES = ("en", "zh")

_WORDS: Mapping[str, tuple[str, str]] = {
    "arm": ("arm", "对象"),
    "variant": ("variant", "变体"),
    "generator": ("generator", "压测工具"),
    "concurrency": ("concurrency", "并发"),
    "requests": ("requests", "请求数"),
    "fps": ("FPS", "FPS"),
    "mean": ("mean", "均值"),
    "p50": ("P50", "P50"),
    "p95": ("P95", "P95"),
    "p99": ("P99", "P99"),
    "queue": ("queue", "排队"),
    "compute": ("compute", "计算"),
    "gpu_memory": ("GPU memory (MiB)", "显存 (MiB)"),
    "no_gpu": ("no GPU", "无 GPU"),
    "speed_up": ("FPS vs baseline", "FPS 相对基线"),
    "gain_p50": ("P50 gain [95 %]", "P50 加速 [95 %]"),
    "gain_p95": ("P95 gain [95 %]", "P95 加速 [95 %]"),
    "gain_fps": ("FPS gain [95 %]", "FPS 加速 [95 %]"),
}


def word(key: str, lang: str = "en") -> str:
    """The word or sentence of that key in that language."""
    if lang not in LANGUAGES:
        raise ConfigError(f"language must be of {list(LANGUAGES)}, got {lang!r}")
    return _WORDS[key][LANGUAGES.index(lang)]
