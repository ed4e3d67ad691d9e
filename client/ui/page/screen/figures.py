"""How the page writes its figures, in the page's language."""

from __future__ import annotations

from photofinish.client.ui.page.machine import MachineFacts, MemoryReading
from photofinish.client.ui.processes.board import SideNumbers
from photofinish.client.ui.words import PageWords

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
EARLY_FRAMES = 5
"""A rate of fewer frames says how many they were."""


def significant(value: float | None) -> str:
    """Three significant digits without an exponent; a dash for None."""
    if value is None:
        return DASH
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio: float | None, words: PageWords, word: str = "page.ratio.times") -> str:
    """A ratio with its sign, as 4.4×; a dash for None. word: what the page's language makes of it."""
    if ratio is None:
        return DASH
    return words(word, number=f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}")


def basis(numbers: SideNumbers, words: PageWords) -> str:
    """What a rate was made of, as `1 frame in 2.6 s`, while that is little; else ""."""
    if not numbers.rate_frames or numbers.rate_frames >= EARLY_FRAMES:
        return ""
    key = "page.frames_in_one" if numbers.rate_frames == 1 else "page.frames_in"
    return words(key, count=numbers.rate_frames, seconds=significant(numbers.rate_s))


def percentile(value_ms: float | None, missing: int, words: PageWords) -> tuple[str, str]:
    """A tail's figure and its unit; while it may not be told, what it still needs and ""."""
    if missing:
        return words("page.needs", count=missing), ""
    return significant(value_ms), words("page.ms") if value_ms is not None else ""


def memory(reading: MemoryReading, words: PageWords) -> tuple[str, str]:
    """The figure of GPU memory and what it covers; two empty texts where there is no GPU."""
    if reading.covers == "cpu":
        return "", ""
    note = words(f"page.covers.{reading.covers}", where=reading.where)
    if reading.used_bytes is None:
        return words("page.covers.unknown"), note
    return f"{reading.used_bytes / 2**20:.0f} MiB", note


def machine(facts: MachineFacts, words: PageWords) -> str:
    """Processor, cores and GPUs in one line, or where the server is."""
    if facts.server:
        return words("page.machine.server", url=facts.server)
    cores = words("page.machine.core" if facts.cores == 1 else "page.machine.cores", count=facts.cores)
    return " · ".join((facts.processor, cores, ", ".join(facts.gpus) or words("page.machine.no_gpu")))
