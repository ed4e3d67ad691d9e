"""The gallery of "Try a picture": streets of the synthetic camera, and real photos where this machine has some."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import cv2

from photofinish.client.sources.synthetic import synthetic_from_spec

STREETS: Mapping[str, str] = {
    "street": "synthetic?seed=3&width=1280&height=720",
    "street-2": "synthetic?seed=11&width=1280&height=720",
    "street-3": "synthetic?seed=21&width=1280&height=720",
}
"""Name and source: pictures that nobody took, so that they may be shown to anybody."""
PHOTOS = ("bus", "zidane")
"""What comes with Ultralytics, where it is installed: only a network for real photos finds something on them."""


class Examples:
    """Pictures by name, each made or read when it is first asked for. Any thread may ask."""

    def __init__(self) -> None:
        folder = _photo_folder()
        self._photos = {name: path for name in PHOTOS if folder and (path := folder / f"{name}.jpg").is_file()}
        self._made: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.names: tuple[str, ...] = (*self._photos, *STREETS)

    def content(self, name: str) -> bytes | None:
        """A picture as JPEG; None for a name that is not in `names`, which is never taken for a path."""
        with self._lock:
            if name in self._photos and name not in self._made:
                self._made[name] = self._photos[name].read_bytes()
            if name in STREETS and name not in self._made:
                self._made[name] = _street(STREETS[name])
            return self._made.get(name)


def _street(spec: str) -> bytes:
    with synthetic_from_spec(spec) as source:
        frame = next(iter(source.frames()))
    return cv2.imencode(".jpg", frame.image_hwc_bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _photo_folder() -> Path | None:
    """Where Ultralytics' own photos lie; the package is found, not loaded."""
    found = find_spec("ultralytics")
    return Path(found.origin).parent / "assets" if found and found.origin else None
