"""The progress bar of a collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from photofinish.client.calibrate.manifest import SourceState


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
