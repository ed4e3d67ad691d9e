"""A contact sheet: the collected pictures side by side, to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.calibrate.manifest import Manifest
from photofinish.letterbox import letterboxed_from_image

SHEET_NAME = "contact_sheet.jpg"
COLUMNS = 8
MAX_PICTURES = 96
CELL_WH = (200, 113)
CAPTION_HEIGHT = 18
GAP = 4


def write_contact_sheet(manifest: Manifest, folder: Path) -> Path:
    """Write `contact_sheet.jpg`: at most 96 pictures evenly chosen, each with its source's name and frame number."""
    frames = manifest.frames
    shown = min(len(frames), MAX_PICTURES)
    chosen = [frames[int((index + 0.5) * len(frames) / shown)] for index in range(shown)]
    columns = min(COLUMNS, max(shown, 1))
    rows = max(1, -(-shown // columns))
    cell_w, cell_h = CELL_WH[0] + GAP, CELL_WH[1] + CAPTION_HEIGHT + GAP
    sheet = np.full((rows * cell_h + GAP, columns * cell_w + GAP, 3), 24, dtype=np.uint8)
    for position, frame in enumerate(chosen):
        image = cv2.imread(str(folder / frame.file))
        if image is not None:
            top, left = GAP + position // columns * cell_h, GAP + position % columns * cell_w
            caption = f"{manifest.sources[frame.source].name[:20]} {frame.index}"
            _draw_cell(sheet[top : top + cell_h, left : left + cell_w], np.asarray(image, np.uint8), caption)
    path = folder / SHEET_NAME
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return path


def _draw_cell(cell: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8], caption: str) -> None:
    cell[: CELL_WH[1], : CELL_WH[0]] = letterboxed_from_image(image, CELL_WH)[0]
    origin = (2, CELL_WH[1] + CAPTION_HEIGHT - 5)
    cv2.putText(cell, caption, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (215, 215, 215), 1, cv2.LINE_AA)
