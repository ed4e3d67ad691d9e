"""Between the cell and the receivers of its results: objects are followed on a thread of their own, then told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from photofinish.client.cameras.events.camera import CameraTracks, News
from photofinish.client.cameras.events.snapshots import PictureAnswer, SnapshotWishes
from photofinish.client.cameras.outputs.output import EventReceiver, Output, WaitingEvents
from photofinish.client.cameras.values.event import Snapshot
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus

MAX_WAITING = 2000
CLOSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _StageTick:
    """A second has gone; these cameras are there."""

    cameras: frozenset[str]
    now_ns: int


@dataclass(frozen=True, slots=True)
class _Written:
    """A snapshot is there."""

    camera: str
    event_id: str
    snapshot: Snapshot


class TrackingStage:
    """An Output. Frames of cameras without tracks go to the receivers at once, the others when they were tracked.

    lost: frames that were not tracked, and so not told, because this machine is too slow for it. The receivers stand
    behind it in the cell as `Behind`, so that what they lose is counted for each by itself.
    """

    name = "tracks"

    def __init__(
        self,
        receivers: Sequence[EventReceiver],
        *,
        max_waiting: int = MAX_WAITING,
        make_camera: Callable[[str], CameraTracks] = CameraTracks,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.receivers = list(receivers)
        self.snapshots: SnapshotWishes | None = None
        self.is_closed = threading.Event()
        self._make_camera = make_camera
        self._clock_ns = clock_ns
        self._on_failure = on_failure
        self._cameras: dict[str, CameraTracks] = {}
        self._failed: set[str] = set()
        self._events = WaitingEvents(self.name, self._handle, limit=max_waiting, on_failure=on_failure)

    @property
    def lost(self) -> int:
        """Frames that were not tracked."""
        return self._events.lost

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there."""
        if result.is_tracked:
            self._events.put(result)
        else:
            for receiver in self.receivers:
                receiver.on_inferred(result)

    def on_status(self, status: CellStatus) -> None:
        """Once a second objects end whose camera tells nothing, or has gone."""
        if self._cameras:
            self._events.put(_StageTick(frozenset(row.camera for row in status.cameras), self._clock_ns()))

    def on_picture(self, answer: PictureAnswer) -> None:
        """A picture that was asked for is there; any thread may call."""
        if not self._events.put(answer) and answer.picture is not None:
            answer.picture.release()

    def on_snapshot(self, camera: str, event_id: str, snapshot: Snapshot) -> None:
        """A snapshot was written; any thread may call."""
        self._events.put(_Written(camera, event_id, snapshot))

    def close(self) -> None:
        """Objects that are there end; the receivers may close then."""
        if self._events.close(CLOSE_S):
            for tracks in self._cameras.values():
                self._tell(tracks.begin_anew())
        self.is_closed.set()

    def _handle(self, items: list[object]) -> None:
        for item in items:
            if isinstance(item, Inferred):
                self._track(item)
            elif isinstance(item, _StageTick):
                self._tick(item)
            elif isinstance(item, PictureAnswer) and self.snapshots is not None:
                self.snapshots.take(item)
            elif isinstance(item, _Written) and item.camera in self._cameras:
                self._tell(list(self._cameras[item.camera].objects.take_snapshot(item.event_id, item.snapshot)))

    def _track(self, result: Inferred) -> None:
        tracks = self._cameras.get(result.camera)
        if tracks is None:
            tracks = self._cameras[result.camera] = self._make_camera(result.camera)
        told: News
        try:
            result, told = tracks.see(result)
        except Exception as exc:  # of a library; this camera's objects begin anew, and the thread goes on
            told = tracks.begin_anew()
            if result.camera not in self._failed:
                self._failed.add(result.camera)
                self._on_failure(
                    f"{result.camera}: tracking failed ({type(exc).__name__}: {exc}); its tracks begin anew"
                )
        for receiver in self.receivers:
            receiver.on_inferred(result)
        self._tell(told)
        if self.snapshots is not None and result.track_ids is not None:
            self.snapshots.consider(result)

    def _tick(self, tick: _StageTick) -> None:
        for camera, tracks in list(self._cameras.items()):
            if camera in tick.cameras:
                self._tell(tracks.end_unseen(tick.now_ns))
                continue
            self._tell(tracks.begin_anew())
            del self._cameras[camera]
            if self.snapshots is not None:
                self.snapshots.forget(camera)

    def _tell(self, told: News) -> None:
        for event in told:
            for receiver in self.receivers:
                receiver.on_event(event)
            if self.snapshots is not None:
                self.snapshots.hear(event)


class Behind:
    """An Output in the cell for a receiver that hears of frames from the stage. at_once: called for each frame too."""

    def __init__(
        self, stage: TrackingStage, output: Output, at_once: Callable[[Inferred], None] = lambda result: None
    ) -> None:
        self.name = output.name
        self._stage = stage
        self._output = output
        self._at_once = at_once

    @property
    def lost(self) -> int:
        """Of the receiver."""
        return self._output.lost

    def on_inferred(self, result: Inferred) -> None:
        """The stage hands it on."""
        self._at_once(result)

    def on_status(self, status: CellStatus) -> None:
        """The whole cell, once a second."""
        self._output.on_status(status)

    def close(self) -> None:
        """After the stage, which still has something to tell."""
        self._stage.is_closed.wait(CLOSE_S + 0.2)
        self._output.close()
