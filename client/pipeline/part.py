"""What one of several models found in a frame, and the account of its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections

PartOutcome = Literal["answered", "late", "failed"]
"""late: no answer within the time limit of a request. failed: the server, or its answer, told of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Which boxes of the first model a second one looked at, each as a picture of its own.

    looked_at: (m,) their numbers, best first. of: (n,) for each detection of the part the number of the box that it was
    found in. too_small, over_limit: how many boxes of the classes asked for were left out, by why.
    names_boxes: of a classifier: each detection is the very box, under a class of the second model.
    prepare_ns: cutting out and resizing.
    """

    looked_at: npt.NDArray[np.intp]
    of: npt.NDArray[np.intp]
    too_small: int = 0
    over_limit: int = 0
    names_boxes: bool = False
    prepare_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePart:
    """One model's share of a FrameResult.

    name: its network. variant: the served model. detections: none where there was no answer, and `problem` says why.
    wire_ns: from sending to the answer; decode_ns: output to detections; of all batches where there are several.
    crops: of a model that looks at the first one's boxes, which ones; None for those that see the whole picture.
    """

    name: str
    variant: str
    class_names: tuple[str, ...]
    detections: Detections
    wire_ns: int
    decode_ns: int
    outcome: PartOutcome = "answered"
    problem: str = ""
    crops: Crops | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless a problem stands where there was no answer, and only there."""
        if (self.outcome == "answered") == bool(self.problem):
            raise ValueError(f"a part has a problem exactly where it did not answer, got {self.outcome}")

    @property
    def took_ns(self) -> int:
        """From sending its request to its detections, cutting out included."""
        return self.wire_ns + self.decode_ns + (self.crops.prepare_ns if self.crops else 0)

    @property
    def was_asked(self) -> bool:
        """Whether there was anything for it to look at."""
        return self.crops is None or len(self.crops.looked_at) > 0

    @property
    def new_boxes(self) -> int:
        """Its boxes, but for those of another model that it only names."""
        return 0 if self.crops and self.crops.names_boxes else len(self.detections)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCount:
    """Where a part's answers are: answered + late + failed = frames done.

    last: in how many frames the others that see the whole picture waited for it. crops: boxes of the first model that
    it looked at; too_small, over_limit: those left out.
    """

    answered: int = 0
    late: int = 0
    failed: int = 0
    last: int = 0
    crops: int = 0
    too_small: int = 0
    over_limit: int = 0

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
            count = self._counts.setdefault(part.name, Counter())
            count[part.outcome] += 1
            if part.crops:
                count["crops"] += len(part.crops.looked_at)
                count["too_small"] += part.crops.too_small
                count["over_limit"] += part.crops.over_limit
        if whole := [part for part in told if part.crops is None]:
            self._counts[max(whole, key=lambda part: part.took_ns).name]["last"] += 1

    def snapshot(self) -> Mapping[str, PartCount]:
        """The figures now, by part."""
        return {name: PartCount(**counts) for name, counts in self._counts.items()}
