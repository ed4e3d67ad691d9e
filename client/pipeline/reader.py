"""A thread that reads ahead of the pipeline: every frame in turn, or only the newest."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

from photofinish.frame import Frame

JOIN_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class FrameReader:
    """Reads `frames` in a thread of its own.

    drop_late: one slot that always holds the newest frame, older ones go to on_late; else a queue of `capacity`
    frames that makes the reader wait. An exception of the source reaches whoever calls `get`.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        *,
        drop_late: bool = False,
        capacity: int = 2,
        on_read: Callable[[Frame], None],
        on_late: Callable[[Frame], None],
    ) -> None:
        self._frames = frames
        self._drop_late = drop_late
        self._capacity = 1 if drop_late else capacity
        self._on_read = on_read
        self._on_late = on_late
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._stopped = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="photofinish-reader", daemon=True)
        self._thread.start()

    def get(self) -> Frame | None:
        """The next frame, waiting for it; None when the source ended or `stop` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended or self._stopped)
            if self._stopped:
                return None
            if self._waiting:
                frame = self._waiting.popleft()
                self._changed.notify_all()
                return frame
            if self._failure is not None:
                raise self._failure
            return None

    def stop(self) -> list[Frame]:
        """End the thread and give the frames that nobody took. A source stuck in a read is left behind, and logged."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(JOIN_TIMEOUT_S)
        if self._thread.is_alive():
            _log.warning("the source did not return within %g s; its reader is left behind", JOIN_TIMEOUT_S)
        with self._changed:
            left = list(self._waiting)
            self._waiting.clear()
            return left

    def _read(self) -> None:
        try:
            for frame in self._frames:
                if not self._offer(frame):
                    break
        except Exception as exc:  # handed to the owner by get()
            self._failure = exc
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _offer(self, frame: Frame) -> bool:
        """Put the frame where `get` finds it; False when reading is over."""
        late: list[Frame] = []
        with self._changed:
            if self._stopped:
                return False
            self._on_read(frame)
            if self._drop_late:
                late = list(self._waiting)
                self._waiting.clear()
            else:
                self._changed.wait_for(lambda: len(self._waiting) < self._capacity or self._stopped)
            self._waiting.append(frame)
            self._changed.notify_all()
        for older in late:
            self._on_late(older)
        return not self._stopped
