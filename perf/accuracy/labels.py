"""Labelled pictures in Ultralytics' data.yaml format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from photofinish.detections import Detections, empty_detections
from photofinish.errors import ConfigError, PhotofinishError
from photofinish.frame import Frame
from photofinish.keypoints.layout import KeypointLayout, Keypoints
from photofinish.perf.accuracy.data import Dataset
from photofinish.perf.accuracy.data_yaml import LabelledPicture, read_data_yaml
from photofinish.perf.accuracy.label_files import LabelFile, is_file, read_labels
from photofinish.pictures import image_from_file

MOST_SKIPPED = 10
"""Of so many pictures one may be unusable; of fewer one as well, as long as another is left."""
_NAMED = 5


class LabelledDataset(Dataset):
    """The pictures of a data.yaml with their boxes. All pictures and label files are read and checked at once."""

    def __init__(self, data_yaml: Path, *, limit: int | None = None) -> None:
        """limit: at most so many pictures, evenly spread.

        A picture that cannot be decoded, or whose labels cannot be read, is left out, and `notes` names it. Raises
        ConfigError or SourceError saying which file and line is wrong when those are more than one in MOST_SKIPPED.
        """
        document = read_data_yaml(data_yaml)
        names, pictures = document.class_names, list(document.pictures)
        layout = document.keypoints
        if limit is not None and len(pictures) > limit:
            pictures = [pictures[int((index + 0.5) * len(pictures) / limit)] for index in range(limit)]
        faults: list[PhotofinishError] = [ConfigError(text) for text in document.missing]
        wanted = len(pictures) + len(faults)
        self._labelled: list[tuple[LabelledPicture, LabelFile]] = []
        for picture in pictures:
            try:
                labels = read_labels(
                    picture.labels, len(names), keypoint_shape=(len(layout or ()), document.point_values)
                )
                image_from_file(picture.image)
            except PhotofinishError as exc:
                faults.append(exc)
                continue
            self._labelled.append((picture, labels))
        if faults and (not self._labelled or len(faults) > max(1, wanted // MOST_SKIPPED)):
            raise type(faults[0])(f"--data {data_yaml}: {len(faults)} of {wanted} pictures cannot be used: {faults[0]}")
        if not any(len(labels) for _, labels in self._labelled):
            raise ConfigError(
                f"{data_yaml}: none of the {len(pictures)} pictures has a labelled object, so there is nothing to "
                f"measure; expected label files such as {pictures[0].labels}"
            )
        super().__init__(
            kind="labelled",
            name=data_yaml.resolve().parent.name,
            class_names=names,
            sha256=_hash_from_pictures(
                [picture for picture, _ in self._labelled], names, (len(layout or ()), document.point_values)
            ),
            size=len(self._labelled),
            notes=(*_notes_from_faults(faults, wanted), *self._label_notes(), *document.notes),
            keypoints=layout,
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The pictures' files."""
        return tuple(picture.image for picture, _ in self._labelled)

    def frames(self) -> Iterator[Frame]:
        """The pictures by name."""
        for index, (picture, labels) in enumerate(self._labelled):
            image = image_from_file(picture.image)
            height, width = image.shape[:2]
            yield Frame(
                image_hwc_bgr=image,
                stream_id="gate",
                index=index,
                captured_ns=0,
                truth=_truth_from_labels(labels, (width, height), self.keypoints),
            )

    def _label_notes(self) -> Iterator[str]:
        for count, said in (
            (sum(labels.clipped for _, labels in self._labelled), "reach over their picture's border and were clipped"),
            (sum(labels.doubled for _, labels in self._labelled), "stand twice in their file and were counted once"),
            (sum(labels.flat for _, labels in self._labelled), "have no area and were left out"),
        ):
            if count:
                yield f"labels that {said}: {count}"
        without = sum(not is_file(picture.labels) for picture, _ in self._labelled)
        if without > len(self._labelled) // 2:
            yield f"pictures that have no label file, taken as pictures without objects: {without}"


def _notes_from_faults(faults: Sequence[PhotofinishError], wanted: int) -> Iterator[str]:
    if faults:
        named = " | ".join(str(fault) for fault in faults[:_NAMED])
        yield f"pictures that were left out: {len(faults)} of {wanted}: {named}{' | …' if len(faults) > _NAMED else ''}"


def _truth_from_labels(labels: LabelFile, size_wh: tuple[int, int], layout: KeypointLayout | None) -> Detections:
    if not len(labels) and layout is None:
        return empty_detections()
    scale = np.array([*size_wh, *size_wh], dtype=np.float64)
    keypoints = None
    if layout is not None:
        xyv = (labels.points_xyv * np.array([*size_wh, 1])).astype(np.float32)
        keypoints = Keypoints(xyv=xyv.reshape(-1, len(layout), 3), layout=layout)
    return Detections(
        boxes_xyxy=(labels.corners_xyxy * scale).astype(np.float32),
        confidence=np.ones(len(labels), dtype=np.float32),
        class_id=labels.class_id,
        keypoints=keypoints,
    )


def _hash_from_pictures(
    pictures: Sequence[LabelledPicture], names: tuple[str, ...], point_shape: tuple[int, int]
) -> str:
    """Of everything that decides the truth. point_shape: how many keypoints, and values of each; zeros for boxes."""
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass"))
    if any(point_shape):
        digest.update(repr(point_shape).encode())
    for picture in pictures:
        digest.update(os.fsencode(picture.image.name) + b"\0" + picture.image.read_bytes())
        digest.update(picture.labels.read_bytes() if is_file(picture.labels) else b"\0")
    return digest.hexdigest()
