"""What one of several models found in a frame, and the account of its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from photofinish.detections import Detections

PartOutcome = Literal["answered", "late", "failed"]
"""late: no answer within the time limit of a request. failed: the server, or its answer, told of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePart:
    """One model's share of a FrameResult.

    name: its network. variant: the served model. detections: none where there was no answer, and `problem` says why.
    wire_ns: from sending to the answer; decode_ns: output to detections.
    """

    name: str
    variant: str
    class_names: tuple[str, ...]
    detections: Detections
    wire_ns: int
    decode_ns: int
    outcome: PartOutcome = "answered"
    problem: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError unless a problem stands where there was no answer, and only there."""
        if (self.outcome == "answered") == bool(self.problem):
            raise ValueError(f"a part has a problem exactly where it did not answer, got {self.outcome}")

    @property
    def took_ns(self) -> int:
        """From sending its request to its detections."""
        return self.wire_ns + self.decode_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCount:
    """Where a part's answers are: answered + late + failed = frames done.

    last: in how many frames the others waited for it.
    """

    answered: int = 0
    late: int = 0
    failed: int = 0
    last: int = 0

    @property
    def missing(self) -> int:
        """Frames without its answer."""
        return self.late + self.failed


class PartAccount:
    """Counts the answers of every part. Its owner sees to it that one thread at a time uses it."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, parts: Iterable[FramePart]) -> None:
        """Count one frame's parts."""
        told = tuple(parts)
        for part in told:
            self._counts.setdefault(part.name, Counter())[part.outcome] += 1
        if told:
            self._counts[max(told, key=lambda part: part.took_ns).name]["last"] += 1

    def snapshot(self) -> Mapping[str, PartCount]:
        """The figures now, by part."""
        return {name: PartCount(**counts) for name, counts in self._counts.items()}
