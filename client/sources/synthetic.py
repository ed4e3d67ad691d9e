"""The synthetic camera as a source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

from photofinish.client.sources.presentation import Clock
from photofinish.client.sources.source import Source
from photofinish.errors import SourceError
from photofinish.frame import Frame
from photofinish.synthetic import SyntheticCamera

DEFAULTS = {"seed": "0", "width": "1280", "height": "720", "fps": "30", "crowding": "1"}


def is_synthetic(spec: str) -> bool:
    """Whether a source is the drawn street."""
    return spec.partition("?")[0] == "synthetic"


class SyntheticSource(Source):
    """Generated pictures without end, the same for the same seed. `paced` gives them at their rate, as a camera."""

    def __init__(self, camera: SyntheticCamera, *, paced: bool = False, clock: Clock = time.perf_counter_ns) -> None:
        super().__init__(camera.stream_id, size_wh=camera.size_wh, frames_per_s=camera.frames_per_s, is_live=paced)
        self._camera = camera
        self._interval_ns = round(1e9 / camera.frames_per_s)
        self._clock = clock

    def frames(self) -> Iterator[Frame]:
        """Pictures until the source is closed; `paced` skips those that are overdue by a whole interval or more."""
        index = 0
        begun_ns = self._clock()
        while not self.closed.is_set():
            if self.is_live:
                late_ns = self._clock() - (begun_ns + index * self._interval_ns)
                index += max(late_ns, 0) // self._interval_ns
                if late_ns < 0 and self.closed.wait(-late_ns / 1e9):
                    return
            yield self._camera.frame(index)
            index += 1


def synthetic_from_spec(spec: str, *, paced: bool = False) -> SyntheticSource:
    """From `synthetic` or `synthetic?seed=1&width=1280&height=720&fps=30&crowding=1`."""
    values = dict(DEFAULTS)
    for key, value in parse_qsl(spec.partition("?")[2], keep_blank_values=True):
        if key not in DEFAULTS:
            raise SourceError(f"the synthetic camera has no option {key!r}; it has {', '.join(DEFAULTS)}")
        values[key] = value
    try:
        camera = SyntheticCamera(
            seed=int(values["seed"]),
            size_wh=(int(values["width"]), int(values["height"])),
            frames_per_s=float(values["fps"]),
            crowding=float(values["crowding"]),
        )
    except ValueError as exc:
        raise SourceError(f"{spec}: {exc}") from exc
    return SyntheticSource(camera, paced=paced)
