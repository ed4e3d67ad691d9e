"""The frames on which accuracy is measured: labelled pictures, the synthetic camera, or any source without labels."""

from __future__ import annotations

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from photofinish.client.sources.opening import open_source
from photofinish.detections import Detections
from photofinish.errors import ConfigError, SourceError
from photofinish.frame import Frame
from photofinish.keypoints.layout import KeypointLayout
from photofinish.synthetic import CLASS_NAMES, SyntheticCamera

DatasetKind = Literal["labelled", "synthetic", "unlabelled"]
SYNTHETIC_SEEDS = (9001, 9002, 9003, 9004, 9005, 9006)
"""Apart from the seeds of training, calibration and the demo's default scene."""
SYNTHETIC_STEP = 40
"""Frames between two that are taken from one camera, so that they differ."""
MAX_KEPT = 240
"""Frames kept in a temporary file, 2.8 MB each at 720p; twice what the gate looks at by default."""


class Dataset(ABC):
    """Frames in a fixed order, the same each time `frames` is called.

    name: without the number of frames. class_names: of the truth's class ids; () without labels. sha256: changes when
    any frame or label does. notes: what of it was not taken as it stands, which moves the figures.
    keypoints: what the truth's points are, None without.
    """

    def __init__(
        self,
        *,
        kind: DatasetKind,
        name: str,
        class_names: tuple[str, ...],
        sha256: str,
        size: int,
        notes: tuple[str, ...] = (),
        keypoints: KeypointLayout | None = None,
    ) -> None:
        self.kind: DatasetKind = kind
        self.name = name
        self.class_names = class_names
        self.sha256 = sha256
        self.size = size
        self.notes = notes
        self.keypoints = keypoints

    @property
    def title(self) -> str:
        """Its name with how many frames it has."""
        return f"{self.name}, {self.size} {'pictures' if self.kind == 'labelled' else 'frames'}"

    @property
    def has_truth(self) -> bool:
        """Whether every frame carries its objects."""
        return self.kind != "unlabelled"

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames; `truth` is filled in when the data set is labelled."""


class SyntheticDataset(Dataset):
    """Frames of several towns of the synthetic camera, with their exact boxes. The first MAX_KEPT are rendered once."""

    def __init__(self, size: int, *, labelled: bool = True, seeds: tuple[int, ...] = SYNTHETIC_SEEDS) -> None:
        """labelled: False for models that do not know the camera's classes; the truth is then withheld."""
        self._seeds = seeds
        self._kept = _FrameFile()
        recipe = f"synthetic {size} {seeds} {SYNTHETIC_STEP}"
        super().__init__(
            kind="synthetic" if labelled else "unlabelled",
            name="synthetic camera",
            class_names=CLASS_NAMES if labelled else (),
            sha256=hashlib.sha256(recipe.encode() + _first_picture(seeds[0])).hexdigest(),
            size=size,
        )

    def frames(self) -> Iterator[Frame]:
        """The frames, one town after the other."""
        position = 0
        while position < len(self._kept):
            yield self._kept.read(position)
            position += 1
        for frame in self._rendered_from(position):
            if frame.index == len(self._kept) < MAX_KEPT:
                self._kept.append(frame)
            yield frame

    def _rendered_from(self, first: int) -> Iterator[Frame]:
        sizes = [len(range(town, self.size, len(self._seeds))) for town in range(len(self._seeds))]
        begin = 0
        for seed, size in zip(self._seeds, sizes, strict=True):
            wanted = range(max(first - begin, 0), size)
            camera = SyntheticCamera(seed=seed) if wanted else None
            for position in wanted:
                if camera is not None:
                    frame = replace(camera.frame(position * SYNTHETIC_STEP), index=begin + position, stream_id="gate")
                    yield frame if self.has_truth else replace(frame, truth=None)
            begin += size


class _FrameFile:
    """Frames in an unnamed temporary file: every variant sees them again, and memory is not filled with them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._frames: list[tuple[int, Frame]] = []

    def __len__(self) -> int:
        return len(self._frames)

    def append(self, frame: Frame) -> None:
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(frame.image_hwc_bgr).data)
        # A picture of the same shape that takes no memory stands for the one in the file.
        shape = frame.image_hwc_bgr.shape
        self._frames.append((offset, replace(frame, image_hwc_bgr=np.broadcast_to(np.uint8(0), shape))))

    def read(self, position: int) -> Frame:
        offset, frame = self._frames[position]
        image = np.empty(frame.image_hwc_bgr.shape, dtype=np.uint8)
        self._file.seek(offset)
        self._file.readinto(image.data.cast("B"))
        return replace(frame, image_hwc_bgr=image)


def _first_picture(seed: int) -> bytes:
    """A rendered picture: ties the hash to the camera's code."""
    return hashlib.sha256(SyntheticCamera(seed=seed).frame(0).image_hwc_bgr.tobytes()).digest()


class SourceDataset(Dataset):
    """Frames without labels, evenly spread over a recording; of other sources the first ones."""

    def __init__(self, spec: str, size: int) -> None:
        """Goes through the source once, to have its hash; SourceError when it gives no frames or is live."""
        self._spec = spec
        with open_source(spec) as source:
            if source.is_live:
                raise SourceError(
                    f"--frames {source.name} is live: every variant must see the same frames; record some with "
                    "`photofinish calibrate` and pass that folder's frames/"
                )
            total = source.frame_count
            name = source.name
        self._step = max(1, (total or 0) // size)
        self._limit = size
        digest, found, pictures = hashlib.sha256(), 0, set[bytes]()
        for frame in self._read():
            pixels = frame.image_hwc_bgr.tobytes()
            digest.update(pixels)
            pictures.add(hashlib.sha256(pixels).digest())
            found += 1
        if not found:
            raise SourceError(f"--frames {name} gave no frames; check that it plays")
        few = f"only {len(pictures)} of its {found} frames differ from each other: a frozen camera decides nothing"
        super().__init__(
            kind="unlabelled",
            name=name,
            class_names=(),
            sha256=digest.hexdigest(),
            size=found,
            notes=(few,) if 2 * len(pictures) < found else (),
        )

    def frames(self) -> Iterator[Frame]:
        """The frames, in order."""
        return self._read()

    def _read(self) -> Iterator[Frame]:
        taken = 0
        with open_source(self._spec) as source:
            for frame in source.frames():
                if frame.index % self._step == 0:
                    yield replace(frame, index=taken, stream_id="gate")
                    taken += 1
                    if taken == self._limit:
                        return


def map_classes(dataset: Dataset, model_names: tuple[str, ...], *, weights: str) -> tuple[int, ...]:
    """For each class of the model its class in the data set, or -1 where the data set has none of that name.

    Raises ConfigError when the data set has a class that the model lacks: its boxes could never be found.
    """
    if lacking := [name for name in dataset.class_names if name not in model_names]:
        raise ConfigError(
            f"{dataset.name} has classes that {weights} does not know: {', '.join(lacking[:5])}"
            f"{' …' if len(lacking) > 5 else ''}; the weights know {len(model_names)}: {', '.join(model_names[:5])}"
            f"{' …' if len(model_names) > 5 else ''}; pass the data set that these weights were trained for"
        )
    ids = {name: index for index, name in enumerate(dataset.class_names)}
    return tuple(ids.get(name, -1) for name in model_names)


def in_dataset_classes(detections: Detections, mapping: tuple[int, ...]) -> Detections:
    """The detections with the data set's class ids; those of other classes are left out."""
    table = np.array(mapping, dtype=np.int32)
    known = (detections.class_id >= 0) & (detections.class_id < len(table))
    kept = detections.select(known)
    kept = kept.select(table[kept.class_id] >= 0)
    return replace(kept, class_id=table[kept.class_id])
