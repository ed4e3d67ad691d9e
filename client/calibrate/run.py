"""A collection as a user runs it: a progress bar, a summary, and a contact sheet to look at."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from photofinish.client.calibrate.collecting import collect_frames
from photofinish.client.calibrate.manifest import Manifest, SourceState, manifest_from_folder
from photofinish.client.sources.opening import open_source
from photofinish.errors import SourceError
from photofinish.letterbox import letterboxed_from_image
from photofinish.pictures import image_from_file

SHEET_NAME = "contact_sheet.jpg"
COLUMNS = 8
MAX_PICTURES = 96
CELL_WH = (200, 113)
CAPTION_HEIGHT = 18
GAP = 4
LOG_EVERY_S = 10.0
"""Between two lines of a bar that goes into a file or a pipe."""


def collect_into(
    folder: Path,
    *,
    source: str,
    count: int,
    duration_s: float,
    min_distance: int,
    on_progress: Callable[[str], None],
    strict: bool = False,
) -> None:
    """Collect `count` frames at most into the folder, over `duration_s` seconds where the source has no end.

    min_distance: of the 256 bits in which the hashes of two kept pictures differ; 0 keeps all. Ctrl-C leaves what was
    collected, and the same call goes on from there. Pictures that cannot be read are left out, and SourceError says so
    at the end; the first of them ends it when `strict`.
    """
    with tell_collected(folder, on_progress) as done:
        with open_source(source, strict=strict, on_notice=on_progress) as opened, progress_bar(count) as step:
            manifest = collect_frames(
                opened, source, folder, count=count, duration_s=duration_s, min_distance=min_distance, on_slot=step
            )
        done(manifest)
    opened.require_all_read()


@contextmanager
def tell_collected(folder: Path, on_progress: Callable[[str], None]) -> Iterator[Callable[[Manifest], None]]:
    """Say what a collection came to, which the block hands to the function it gets, or how to go on after Ctrl-C."""
    before = len(manifest_from_folder(folder).frames)

    def done(manifest: Manifest) -> None:
        duplicates = sum(state.duplicates for state in manifest.sources.values())
        new = len(manifest.frames) - before
        on_progress(f"{new} new frames, {len(manifest.frames)} in all; near-duplicates left out: {duplicates}")
        on_progress(f"look at {write_contact_sheet(manifest, folder)}")

    try:
        yield done
    except KeyboardInterrupt:
        on_progress(f"{folder} keeps what was collected; run the same command again to go on")
        raise


@contextmanager
def progress_bar(slots: int) -> Iterator[Callable[[SourceState, int], None]]:
    """A bar on stderr over the source's slots; the block gets the function that moves it."""
    with tqdm(
        total=slots, unit="part", desc="collecting", mininterval=0.1 if sys.stderr.isatty() else LOG_EVERY_S
    ) as bar:

        def step(state: SourceState, kept: int) -> None:
            if state.next_slot != bar.n:
                bar.set_postfix_str(f"frames {kept}, duplicates {state.duplicates}", refresh=False)
                bar.update(state.next_slot - bar.n)

        yield step


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
        with contextlib.suppress(SourceError):  # removed or replaced since
            image = image_from_file(folder / frame.file)
            top, left = GAP + position // columns * cell_h, GAP + position % columns * cell_w
            caption = f"{manifest.sources[frame.source].name[:20]} {frame.index}"
            _draw_cell(sheet[top : top + cell_h, left : left + cell_w], image, caption)
    path = folder / SHEET_NAME
    path.write_bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
    return path


def _draw_cell(cell: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8], caption: str) -> None:
    cell[: CELL_WH[1], : CELL_WH[0]] = letterboxed_from_image(image, CELL_WH)[0]
    origin = (2, CELL_WH[1] + CAPTION_HEIGHT - 5)
    text = caption.encode("ascii", "replace").decode()  # OpenCV has no other letters, and crashes on half characters
    cv2.putText(cell, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (215, 215, 215), 1, cv2.LINE_AA)
