"""The gate's progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from photofinish.perf.accuracy.answers import OnFrame


@contextmanager
def frame_bar() -> Iterator[OnFrame]:
    """A bar on stderr, one round for each model; the block gets the function that moves it."""
    bar: tqdm | None = None
    current = ""

    def step(name: str, done: int, total: int) -> None:
        nonlocal bar, current
        if bar is None or name != current or done < bar.n:
            if bar is not None:
                bar.close()
            bar = tqdm(total=total, unit="frame", desc=name)
            current = name
        bar.update(done - bar.n)

    try:
        yield step
    finally:
        if bar is not None:
            bar.close()
