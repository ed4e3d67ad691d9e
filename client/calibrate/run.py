"""A collection as a user runs it: a progress bar, a summary, and a contact sheet to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from photofinish.client.calibrate.collecting import collect_frames
from photofinish.client.calibrate.manifest import SourceState, manifest_from_folder
from photofinish.client.calibrate.sheet import write_contact_sheet
from photofinish.client.sources.opening import open_source


def collect_into(
    folder: Path,
    *,
    source: str,
    count: int,
    duration_s: float,
    min_distance: int,
    on_progress: Callable[[str], None],
) -> None:
    """Collect `count` frames at most into the folder, over `duration_s` seconds where the source has no end.

    min_distance: of the 256 bits in which the hashes of two kept pictures differ; 0 keeps all. Ctrl-C leaves what was
    collected, and the same call goes on from there.
    """
    before = len(manifest_from_folder(folder).frames)
    try:
        with open_source(source, on_notice=on_progress) as opened, progress_bar(count) as step:
            manifest = collect_frames(
                opened, source, folder, count=count, duration_s=duration_s, min_distance=min_distance, on_slot=step
            )
    except KeyboardInterrupt:
        on_progress(f"{folder} keeps what was collected; run the same command again to go on")
        raise
    duplicates = sum(state.duplicates for state in manifest.sources.values())
    new = len(manifest.frames) - before
    on_progress(f"{new} new frames, {len(manifest.frames)} in all; near-duplicates left out: {duplicates}")
    on_progress(f"look at {write_contact_sheet(manifest, folder)}")


@contextmanager
def progress_bar(slots: int) -> Iterator[Callable[[SourceState, int], None]]:
    """A bar on stderr over the source's slots; the block gets the function that moves it."""
    with tqdm(total=slots, unit="part", desc="collecting") as bar:

        def step(state: SourceState, kept: int) -> None:
            if state.next_slot != bar.n:
                bar.n = state.next_slot
                bar.set_postfix_str(f"frames {kept}, duplicates {state.duplicates}", refresh=False)
                bar.refresh()

        yield step
