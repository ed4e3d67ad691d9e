"""What every source of frames offers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType

import numpy as np
import numpy.typing as npt

from photofinish.frame import Frame

Clock = Callable[[], int]
"""Nanoseconds, as perf_counter_ns."""


class Source(ABC):
    """An ordered source of frames. A context manager; `close` may be called from another thread.

    size_wh, frames_per_s, frame_count: None where nobody can know. is_live: frames come whether or not they are
    fetched; what is not fetched in time is skipped, and the frame index has a gap.
    """

    def __init__(
        self,
        name: str,
        *,
        size_wh: tuple[int, int] | None = None,
        frames_per_s: float | None = None,
        frame_count: int | None = None,
        is_live: bool = False,
    ) -> None:
        self.name = name
        self.size_wh = size_wh
        self.frames_per_s = frames_per_s
        self.frame_count = frame_count
        self.is_live = is_live
        self.closed = threading.Event()

    def __enter__(self) -> Source:
        """The source itself, already open."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames, in order. Ends when the source does or is closed; raises SourceError when it breaks."""

    def close(self) -> None:
        """Stop `frames` and give the camera or file back; a second call does nothing."""
        self.closed.set()


class ReplaySource(Source):
    """A recording: can be repeated (`loop`) and played at its own rate as a camera would (`paced`)."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        loop: bool,
        paced: bool,
        size_wh: tuple[int, int] | None,
        frames_per_s: float,
        frame_count: int | None,
    ) -> None:
        super().__init__(
            name,
            size_wh=size_wh,
            frames_per_s=frames_per_s,
            frame_count=None if loop else frame_count,
            is_live=paced,
        )
        self._clock = clock
        self._loop = loop
        self._paced = paced
        self._interval_ns = round(1e9 / frames_per_s)

    @abstractmethod
    def rewind(self) -> None:
        """Go back to the first picture."""

    @abstractmethod
    def read_image(self) -> npt.NDArray[np.uint8] | None:
        """The next picture (height, width, 3) blue first, or None at the end. Raises SourceError when it is damaged."""

    @abstractmethod
    def skip_image(self) -> bool:
        """Pass over one picture; False at the end."""

    def frames(self) -> Iterator[Frame]:
        """The pictures in order; `paced` skips those that are overdue by a whole interval or more."""
        index = 0
        begun_ns = self._clock()
        while not self.closed.is_set():
            if self._paced:
                index += self._keep_pace(begun_ns, index)
            image = self.read_image()
            if image is None:
                if not self._loop or index == 0:
                    return
                self.rewind()
                image = self.read_image()
                if image is None:
                    return
            yield Frame(image_hwc_bgr=image, stream_id=self.name, index=index, captured_ns=self._clock())
            index += 1

    def _keep_pace(self, begun_ns: int, index: int) -> int:
        """Wait until frame `index` is due, or pass over the overdue ones and give their number."""
        late_ns = self._clock() - (begun_ns + index * self._interval_ns)
        if late_ns < 0:
            self.closed.wait(-late_ns / 1e9)
            return 0
        overdue = late_ns // self._interval_ns
        for passed in range(overdue):
            if not self.skip_image():
                return passed
        return overdue
