"""The synthetic camera as a source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

from client.moving_shapes import image_from_index
from client.source import Clock, Source
from photofinish.errors import SourceError
from photofinish.frame import Frame

OPTIONS = ("seed", "width", "height", "fps")


class SyntheticSource(Source):
    """Generated pictures without end, the same for the same seed. `paced` gives them at their rate, as a camera."""

    def __init__(
        self,
        *,
        seed: int = 0,
        size_wh: tuple[int, int] = (1280, 720),
        frames_per_s: float = 30.0,
        paced: bool = False,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        super().__init__("synthetic", size_wh=size_wh, frames_per_s=frames_per_s, is_live=paced)
        self._seed = seed
        self._size = size_wh
        self._interval_ns = round(1e9 / frames_per_s)
        self._clock = clock

    def frames(self) -> Iterator[Frame]:
        """Pictures until the source is closed."""
        index = 0
        begun_ns = self._clock()
        while not self.closed.is_set():
            if self.is_live:
                late_ns = self._clock() - (begun_ns + index * self._interval_ns)
                index += max(late_ns, 0) // self._interval_ns
                if late_ns < 0 and self.closed.wait(-late_ns / 1e9):
                    return
            image = image_from_index(index, seed=self._seed, size_wh=self._size)
            yield Frame(image_hwc_bgr=image, stream_id=self.name, index=index, captured_ns=self._clock())
            index += 1


def synthetic_from_spec(spec: str, *, paced: bool = False) -> SyntheticSource:
    """From `synthetic` or `synthetic?seed=1&width=1280&height=720&fps=30`."""
    values = {"seed": "0", "width": "1280", "height": "720", "fps": "30"}
    for key, value in parse_qsl(spec.partition("?")[2], keep_blank_values=True):
        if key not in OPTIONS:
            raise SourceError(f"the synthetic camera has no option {key!r}; it has {', '.join(OPTIONS)}")
        values[key] = value
    try:
        size_wh = (int(values["width"]), int(values["height"]))
        rate = float(values["fps"])
        seed = int(values["seed"])
    except ValueError as exc:
        raise SourceError(f"{spec}: {exc}; seed, width and height are whole numbers, fps is a number") from exc
    if min(size_wh) < 32 or max(size_wh) > 8192 or not 0 < rate <= 1000 or seed < 0:
        raise SourceError(f"{spec}: width and height must lie within 32..8192, fps within 0..1000, seed be 0 or more")
    return SyntheticSource(seed=seed, size_wh=size_wh, frames_per_s=rate, paced=paced)
