"""Tracks, snapshots and films of `photofinish cameras run`, as its flags and the cameras' rows say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from photofinish.client.cameras.events.snapshots import FILE_NAME as SNAPSHOT_NAME
from photofinish.client.cameras.events.snapshots import SLOTS as SNAPSHOT_SLOTS
from photofinish.client.cameras.events.snapshots import PictureAnswer, SnapshotWishes, SnapshotWriter
from photofinish.client.cameras.events.stage import Behind, TrackingStage
from photofinish.client.cameras.events.tracking import require_tracking_library
from photofinish.client.cameras.outputs.output import EventReceiver, Output
from photofinish.client.cameras.recording.film import FILE_NAME as FILM_NAME
from photofinish.client.cameras.recording.film import MAX_WH as FILM_MAX_WH
from photofinish.client.cameras.recording.film import SLOTS as FILM_SLOTS
from photofinish.client.cameras.recording.film import Film
from photofinish.client.cameras.recording.keeping import BoundedFolder
from photofinish.client.cameras.recording.pictures import PictureSlots
from photofinish.client.cameras.schedule.batches import FrameWriter
from photofinish.client.cameras.values.camera import Camera, Line, Zone
from photofinish.errors import ConfigError

DEFAULT_FILM_FOLDER = Path("videos")
_Shape = TypeVar("_Shape", Line, Zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingWishes:
    """tracks: of every camera whose row does not say otherwise. lines, zones: `NAME=X,Y,X,Y…` in shares of the picture,
    for every camera. snapshots, video: folders. max_…: what stays there, the oldest goes first.
    """

    tracks: bool = False
    lines: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    snapshots: Path | None = None
    max_snapshots: int = 10_000
    max_snapshots_mb: float = 2_000
    video: Path | None = None
    max_video_mb: float = 10_000
    video_segment_s: float = 60.0

    def __post_init__(self) -> None:
        """Raise ConfigError for what is no line or zone, before a server is started."""
        self.shapes()

    def shapes(self) -> tuple[tuple[Line, ...], tuple[Zone, ...]]:
        """The lines and zones for all cameras."""
        return (
            tuple(_shape(Line, "--line", text) for text in self.lines),
            tuple(_shape(Zone, "--zone", text) for text in self.zones),
        )


def _shape(kind: Callable[..., _Shape], flag: str, text: str) -> _Shape:
    name, _, rest = text.partition("=")
    try:
        sides = [float(side) for side in rest.split(",")]
    except ValueError:
        sides = []
    if not name or len(sides) < 4 or len(sides) % 2:
        raise ConfigError(
            f"{flag} must be a name and points in shares of the picture, such as gate=0.1,0.6,0.9,0.6; got {text!r}"
        )
    return kind(name=name, points_xy=tuple(zip(sides[::2], sides[1::2], strict=True)))


def cameras_of_run(cameras: Iterable[Camera], wishes: RecordingWishes) -> list[Camera]:
    """The cameras with what the run says for all; a row's own word comes first."""
    lines, zones = wishes.shapes()
    return [
        replace(
            camera,
            tracks=True if wishes.tracks and camera.tracks is None else camera.tracks,
            video=True if wishes.video and camera.video is None else camera.video,
            zones=_and_those(camera.zones, zones),
            lines=camera.lines if camera.tracks is False else _and_those(camera.lines, lines),
        )
        for camera in cameras
    ]


def _and_those(own: tuple[_Shape, ...], others: tuple[_Shape, ...]) -> tuple[_Shape, ...]:
    taken = {shape.name for shape in own}
    return own + tuple(shape for shape in others if shape.name not in taken)


def require_recordable(cameras: Iterable[Camera], wishes: RecordingWishes) -> None:
    """Raise ConfigError, before a server is started, when the library for tracks is missing, or nothing is tracked."""
    if any(camera.is_tracked for camera in cameras):
        require_tracking_library()
    elif wishes.snapshots is not None:
        raise ConfigError("--snapshots needs --tracks, or `tracks = true` in a camera's row")


def recorded(
    receivers: list[EventReceiver],
    wishes: RecordingWishes,
    cameras: Iterable[Camera],
    writer: Callable[[], FrameWriter],
    on_notice: Callable[[str], None],
) -> list[Output]:
    """The cell's outputs: the receivers behind what tracks, snapshots and films. Within a running event loop.

    Raises ConfigError when a folder cannot be written.
    """
    cameras = list(cameras)
    if any(camera.is_tracked for camera in cameras) and not receivers and wishes.snapshots is None:
        on_notice("objects are tracked and told to nobody; add --json, --mqtt, --webhook or --snapshots")
    stage = TrackingStage(receivers, on_failure=on_notice)
    outputs: list[Output] = [stage, *(Behind(stage, receiver) for receiver in receivers)]
    if wishes.snapshots is not None:
        outputs.append(_snapshots(wishes, wishes.snapshots, stage, writer, on_notice))
    film = _film(wishes, any(camera.video for camera in cameras), writer, on_notice)
    stage.receivers.append(film)
    outputs.append(Behind(stage, film, film.ask))
    return outputs


def _snapshots(
    wishes: RecordingWishes,
    place: Path,
    stage: TrackingStage,
    writer: Callable[[], FrameWriter],
    on_notice: Callable[[str], None],
) -> Output:
    folder = BoundedFolder(
        place, SNAPSHOT_NAME, max_files=wishes.max_snapshots, max_bytes=round(wishes.max_snapshots_mb * 1e6)
    ).open()
    slots = PictureSlots(writer, SNAPSHOT_SLOTS)
    loop = asyncio.get_running_loop()
    files = SnapshotWriter(folder, stage.on_snapshot, on_failure=on_notice)

    def ask(camera: str, size_wh: tuple[int, int]) -> None:
        def asked() -> None:
            if not slots.ask(camera, size_wh, lambda picture: stage.on_picture(PictureAnswer(camera, picture))):
                stage.on_picture(PictureAnswer(camera, None))

        with suppress(RuntimeError):  # the run has ended
            loop.call_soon_threadsafe(asked)

    stage.snapshots = SnapshotWishes(ask, files.write)
    return Behind(stage, files)


def _film(
    wishes: RecordingWishes, is_wanted: bool, writer: Callable[[], FrameWriter], on_notice: Callable[[str], None]
) -> Film:
    """Ready also when no camera is filmed yet: the list may ask for it later."""
    place = wishes.video or DEFAULT_FILM_FOLDER
    folder = BoundedFolder(place, FILM_NAME, max_files=1_000_000, max_bytes=round(wishes.max_video_mb * 1e6))
    if is_wanted:
        folder.open()
        on_notice(f"Films lie in {place}: {wishes.video_segment_s:g} s each, {wishes.max_video_mb:g} MB at most")
    return Film(
        folder, PictureSlots(writer, FILM_SLOTS, FILM_MAX_WH), segment_s=wishes.video_segment_s, on_failure=on_notice
    )
