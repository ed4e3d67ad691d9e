"""What every source of frames offers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

from photofinish.client.sources.presentation import Clock, RecordedPicture, Taken, keep_pace
from photofinish.errors import SourceError
from photofinish.frame import Frame


class Source(ABC):
    """An ordered source of frames. A context manager; `close` may be called from another thread.

    size_wh, frames_per_s: None where nobody can know. is_live: frames come whether or not they are fetched; what is not
    fetched in time is skipped, and the frame index has a gap. skipped: names of what could not be read.
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
        self.is_live = is_live
        self.skipped: list[str] = []
        self._frame_count = frame_count
        self.closed = threading.Event()

    @property
    def frame_count(self) -> int | None:
        """How many frames to expect, None where nobody can know. An estimate: what can be decoded decides."""
        return self._frame_count

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

    def require_all_read(self) -> None:
        """Raise SourceError when something was left out: a run is over, and not all that was asked for is done."""
        if self.skipped:
            named = ", ".join(self.skipped[:5]) + (", …" if len(self.skipped) > 5 else "")
            count = f"{len(self.skipped)} of {self.frame_count}" if self.frame_count else str(len(self.skipped))
            raise SourceError(f"{count} pictures could not be read and were skipped: {named}")

    def close(self) -> None:
        """Stop `frames` and give the camera or file back; a second call does nothing."""
        self.closed.set()


class ReplaySource(Source):
    """A recording: can be repeated (`loop`) and played at its own times as a camera would (`paced`)."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        loop: bool,
        paced: bool,
        size_wh: tuple[int, int] | None,
        frames_per_s: float,
        frame_count: int | None = None,
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

    @abstractmethod
    def rewind(self) -> None:
        """Go back to the first picture."""

    @abstractmethod
    def next_picture(self) -> RecordedPicture | None:
        """The next picture, or None at the end. Raises SourceError when the recording turns out damaged."""

    @abstractmethod
    def end_ns(self) -> int:
        """When the last picture so far ends."""

    def frames(self) -> Iterator[Frame]:
        """The pictures in order; `paced` skips those whose successor is due already."""
        index = offset_ns = 0
        begun_ns = self._clock()
        picture = self._take()
        while not self.closed.is_set():
            if isinstance(picture, SourceError):
                raise picture
            if picture is None:
                if not self._loop or index == 0:
                    return
                offset_ns += self.end_ns()
                self.rewind()
                picture = self._take()
                if picture is None:
                    return
                continue
            following: Taken = None
            if self._paced:
                picture, following, passed = keep_pace(
                    picture, self._take, begun_ns=begun_ns + offset_ns, clock=self._clock, closed=self.closed
                )
                index += passed
            image = picture.image_hwc_bgr()
            if image is not None:
                yield Frame(
                    image_hwc_bgr=image,
                    stream_id=self.name,
                    index=index,
                    captured_ns=self._clock(),
                    presented_ns=offset_ns + picture.presented_ns,
                )
                index += 1
            picture = following if self._paced else self._take()

    def _take(self) -> Taken:
        """The next picture or what went wrong, which must not hide the picture before it."""
        try:
            return self.next_picture()
        except SourceError as exc:
            return exc
