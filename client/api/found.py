"""What a detector found in one picture, as the Python API gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photofinish.client.detect.drawing import class_name, draw_parts
from photofinish.client.detect.telling import Share, text_from_shares
from photofinish.client.pipeline.part import Crops, FramePart
from photofinish.client.sources.pictures import picture_from_file
from photofinish.detections import Detections
from photofinish.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """The boxes of one picture, best first. Iterating gives (box, score, name) of each.

    picture: the file's name, or which one it was of those that were given. index: which frame of its source it is, 0
    for a picture. presented_s: when its recording shows it, in seconds; None where it has no such time.
    parts: of several models, what each found, by the model's name, the first one's too; this value is then the first
    one's itself. problem: why its model gave no answer while another did; it has no boxes then. crops: of a model that
    looks at the first one's boxes, at which.
    """

    picture: str
    detections: Detections
    class_names: tuple[str, ...] = field(repr=False)
    size_wh: tuple[int, int]
    source: npt.NDArray[np.uint8] | Path = field(repr=False)
    index: int = 0
    presented_s: float | None = None
    problem: str = ""
    parts: Mapping[str, Found] = field(default_factory=dict, repr=False)
    crops: Crops | None = field(default=None, repr=False)

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """(n, 4) float32: left, top, right and bottom in pixels of the picture."""
        return self.detections.boxes_xyxy

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """(n,) float32: the confidence of each box, 0 to 1."""
        return self.detections.confidence

    @property
    def class_ids(self) -> npt.NDArray[np.int32]:
        """(n,) int32: the number of each box's class."""
        return self.detections.class_id

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each box by name; `class 7` where the model has no name for it."""
        return tuple(class_name(self.class_names, int(class_id)) for class_id in self.class_ids)

    @property
    def keypoints(self) -> npt.NDArray[np.float32] | None:
        """(n, K, 3) float32: x and y in pixels and visibility of each box's points; None where the model has none."""
        points = self.detections.keypoints
        return None if points is None else points.xyv

    @property
    def image_hwc_bgr(self) -> npt.NDArray[np.uint8]:
        """The picture (height, width, 3) uint8, blue first. Of a list of files it is read again: none of them is kept.

        Raises SourceError when the file has gone.
        """
        return picture_from_file(self.source) if isinstance(self.source, Path) else self.source

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.detections)

    def __iter__(self) -> Iterator[tuple[tuple[float, float, float, float], float, str]]:
        """Box, score and name of each, as plain numbers."""
        for box, score, name in zip(self.boxes.tolist(), self.scores.tolist(), self.names, strict=True):
            yield (box[0], box[1], box[2], box[3]), score, name

    @property
    def of(self) -> npt.NDArray[np.intp] | None:
        """(n,): in which of the first model's boxes each was found; None for a model that sees the whole picture."""
        return None if self.crops is None else self.crops.of

    def __str__(self) -> str:
        """`bus.jpg: bus 0.93, person 0.92`, and what other models found, as `photofinish detect` prints it."""
        shares = self.parts or {"": self}
        return text_from_shares(
            self.picture,
            [
                Share(
                    name=name,
                    detections=share.detections,
                    class_names=share.class_names,
                    problem=share.problem,
                    crops=share.crops if self.parts else None,
                )
                for name, share in shares.items()
            ],
        )

    def drawn(self) -> npt.NDArray[np.uint8]:
        """A new picture (height, width, 3) uint8, blue first, with every box, its name and its score.

        Of several models with what all of them found.
        """
        shares = tuple(self.parts.values()) or (self,)
        naming = [number for number, share in enumerate(shares) if share.crops and share.crops.names_boxes]
        drawn = [(share.detections, share.class_names) for share in shares]
        return draw_parts(self.image_hwc_bgr, drawn, labels_only=naming)

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections`, names under `data["class_name"]`, arrays of their own.

        Raises ConfigError where supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as exc:
            raise ConfigError(f"to_supervision needs {exc.name}; install it with `pip install supervision`") from exc
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.class_ids.astype(int),
            data={"class_name": np.array(self.names, dtype=str)},
        )


def found_from_parts(
    parts: Sequence[FramePart],
    *,
    picture: str,
    size_wh: tuple[int, int],
    source: npt.NDArray[np.uint8] | Path,
    index: int,
    presented_s: float | None,
) -> Found:
    """What the first model found, with the share of each where there are several."""
    shares = {
        part.name: Found(
            picture=picture,
            detections=part.detections,
            class_names=part.class_names,
            size_wh=size_wh,
            source=source,
            index=index,
            presented_s=presented_s,
            problem=part.problem,
            crops=part.crops,
        )
        for part in parts
    }
    first = shares[parts[0].name]
    return replace(first, parts=shares) if len(shares) > 1 else first
