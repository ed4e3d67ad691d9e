"""Small labelled data sets for tests, written as the field writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

LABEL = "0 0.5 0.5 0.2 0.4\n"
NAMES = "names: [car, bus]\n"


def write_picture(path: Path) -> None:
    """A grey picture of 100 x 50 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, content = cv2.imencode(".png", np.full((50, 100, 3), 90, np.uint8))
    assert done
    path.write_bytes(content.tobytes())


def write_files(folder: Path, files: Mapping[str, str | bytes | None]) -> Path:
    """Files by their paths below `folder`; None is a picture. Gives the path of data.yaml."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            write_picture(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "data.yaml"
