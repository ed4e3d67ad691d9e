"""Calibration frames: real pictures, spread over time, near-duplicates left out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.calibrate.manifest import (
    ELSEWHERE,
    KeptFrame,
    Manifest,
    SourceState,
    manifest_from_folder,
    replace_file,
    source_key,
)
from photofinish.client.sources.source import Source
from photofinish.errors import ConfigError, SourceError
from photofinish.frame import Frame
from photofinish.machine.disk import why_not_written
from photofinish.pictures import COLLECTED_FOLDER

HASH_SIDE = 16
"""The picture hash has 16 x 16 bits."""
MIN_HASH_DISTANCE = 10
"""Pictures whose hashes differ in fewer of the 256 bits count as the same."""
JPEG_QUALITY = 95


def collect_frames(
    source: Source,
    spec: str,
    folder: Path,
    *,
    count: int,
    duration_s: float = 600.0,
    min_distance: int = MIN_HASH_DISTANCE,
    on_slot: Callable[[SourceState, int], None] = lambda state, kept: None,
) -> Manifest:
    """Write up to `count` pictures of the source into `folder/frames`, and the manifest; the manifest.

    The source is divided into `count` equal slots: by its frames where their number is known, else by time over
    `duration_s`. Each slot gives its first picture that is no near-duplicate of one already in the folder, so pictures
    are spread over time. An interrupted run goes on where it stopped; other sources may add to the same folder.
    on_slot: called for each frame looked at, with the state and the number of pictures in the folder.
    """
    collection = Collection(folder, min_distance=min_distance)
    manifest = collection.manifest
    key, state = collection.source(spec, source.name, count)
    if state.is_complete:
        return manifest
    seen_duplicate = False
    try:
        with closing(_with_slots(source, state, duration_s)) as numbered:
            for slot, frame in numbered:
                if slot > state.next_slot:
                    state.duplicates += seen_duplicate
                    seen_duplicate = False
                    state.next_slot = min(slot, state.slots)
                if slot >= state.slots:
                    break
                if slot == state.next_slot:
                    seen_duplicate = not collection.offer(key, frame)
                on_slot(state, len(manifest.frames))
            else:
                state.duplicates += seen_duplicate
                state.next_slot = state.slots
    finally:
        manifest.save(folder)
    on_slot(state, len(manifest.frames))
    if not manifest.frames:
        raise SourceError(f"{source.name} gave no frames at all; check that it plays")
    return manifest


class Collection:
    """A calibration folder that is being filled, by one source or by several at once. For one thread at a time."""

    def __init__(self, folder: Path, *, min_distance: int = MIN_HASH_DISTANCE) -> None:
        """Raises ConfigError when the folder cannot be written, or holds something else."""
        self.folder = folder
        self.manifest = manifest_from_folder(folder)
        self._min_distance = min_distance
        self._hashes = [_hash_from_text(frame.picture_hash) for frame in self.manifest.frames]
        _make_folder(folder / COLLECTED_FOLDER)

    def source(self, spec: str, name: str, slots: int) -> tuple[str, SourceState]:
        """Key and state of a source, new or begun before. Raises ConfigError when it was begun with other slots."""
        key = source_key(spec, name)
        state = self.manifest.sources.setdefault(key, SourceState(name=name, slots=slots))
        if state.slots != slots:
            raise ConfigError(
                f"{self.folder} was begun with --frames {state.slots} for {name}, got {slots}; "
                f"finish it with --frames {state.slots} or choose another --out folder"
            )
        return key, state

    def offer(self, key: str, frame: Frame) -> bool:
        """Keep the picture for its source's next slot, unless it is nearly one that is there; whether it was kept."""
        found = picture_hash(frame.image_hwc_bgr)
        if any(hash_distance(found, other) < self._min_distance for other in self._hashes):
            return False
        self._hashes.append(found)
        self.manifest.frames.append(_write(frame, found, key, self.folder))
        self.manifest.sources[key].next_slot += 1
        self.manifest.save(self.folder)
        return True


def _with_slots(source: Source, state: SourceState, duration_s: float) -> Generator[tuple[int, Frame], None, None]:
    """Each frame with its slot. Live sources go on with the first unvisited slot, recordings start over."""
    begun_ns: int | None = None
    first_slot = state.next_slot if source.is_live else 0
    slot_s = duration_s / state.slots
    for frame in source.frames():
        if source.is_live:
            begun_ns = frame.captured_ns if begun_ns is None else begun_ns
            yield first_slot + int((frame.captured_ns - begun_ns) / 1e9 / slot_s), frame
        elif source.frame_count is not None:
            yield min(frame.index * state.slots // source.frame_count, state.slots - 1), frame
        else:
            yield int(frame.index / (source.frames_per_s or 30.0) / slot_s), frame


def picture_hash(image_hwc_bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether each of 16 x 16 patches is brighter than its right neighbour: (256,) bool; noise matters little."""
    grey = cv2.cvtColor(image_hwc_bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
    patches = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    # One grey level of margin: without it, sensor noise would decide the bits of flat regions.
    return np.asarray(patches[:, :-1] > patches[:, 1:] + 1.0, dtype=np.bool_).reshape(-1)


def hash_distance(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> int:
    """Number of differing bits."""
    return int(np.count_nonzero(a != b))


def _hash_from_text(text: str) -> npt.NDArray[np.bool_]:
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    except ValueError as exc:
        raise ConfigError(f"the calibration manifest holds no picture hash: {text!r}; choose another --out") from exc
    return bits.astype(np.bool_)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(why_not_written(folder, exc, ELSEWHERE)) from exc


def _write(frame: Frame, found: npt.NDArray[np.bool_], key: str, folder: Path) -> KeptFrame:
    done, encoded = cv2.imencode(".jpg", frame.image_hwc_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise SourceError(f"frame {frame.index} of {frame.stream_id} cannot be written as a JPEG")
    content = encoded.tobytes()
    digest = hashlib.sha256(content).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", key)
    # The index alone does not tell pictures apart: a camera counts from 0 again in every run.
    file = f"{COLLECTED_FOLDER}/{stem}_{frame.index:08d}_{digest[:8]}.jpg"
    replace_file(folder / file, content)
    return KeptFrame(
        file=file,
        source=key,
        index=frame.index,
        picture_hash=np.packbits(found).tobytes().hex(),
        sha256=digest,
    )
