"""One line of JSON for each inferred frame and event, to standard output or to a file that begins anew at a size."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from photofinish.client.cameras.outputs.event_json import message_from_crossing, message_from_event
from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.outputs.zones import zones_of_boxes
from photofinish.client.cameras.values.event import LineCrossing, ObjectEvent
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.client.cameras.values.status import CellStatus
from photofinish.detections import points_by_name

MAX_FILE_BYTES = 256 << 20
KEPT_FILES = 4


def line_from_told(told: Inferred | ObjectEvent | LineCrossing) -> dict[str, Any]:
    """The line of anything that outputs hear: a frame has `frame`, events and crossings have `type`."""
    if isinstance(told, ObjectEvent):
        return message_from_event(told)
    if isinstance(told, LineCrossing):
        return message_from_crossing(told)
    return line_from_inferred(told)


def line_from_inferred(result: Inferred) -> dict[str, Any]:
    """What a line says. Boxes are x1, y1, x2, y2 in the picture's own pixels, keypoints x, y, visibility by name.

    Keypoints stand where the model has some, zones where the camera has some, and the id of its event
    with each box that is tracked.
    """
    found = result.detections
    zones = zones_of_boxes(result) if result.zones else [None] * len(found)
    tracks = result.track_ids or [""] * len(found)
    captured = datetime.fromtimestamp(result.captured_unix_ns / 1e9, tz=timezone.utc)
    return {
        "camera": result.camera,
        "frame": result.tick,
        "captured": captured.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "clock": result.clock,
        "latency_ms": round(result.latency_ns / 1e6, 2),
        "width": result.size_wh[0],
        "height": result.size_wh[1],
        "variant": result.variant,
        "detections": [
            {
                "class": result.class_name(int(class_id)),
                "confidence": round(float(confidence), 4),
                "box": [round(float(side), 1) for side in box],
                **({} if points is None else {"keypoints": points}),
                **({} if inside is None else {"zones": list(inside)}),
                **({"track": track} if track else {}),
            }
            for box, confidence, class_id, points, inside, track in zip(
                found.boxes_xyxy, found.confidence, found.class_id, points_by_name(found), zones, tracks, strict=True
            )
        ],
    }


class JsonLines:
    """An EventReceiver. path: None for standard output. A file of 256 MiB is renamed to `.1`, four are kept."""

    def __init__(
        self,
        path: Path | None,
        *,
        max_bytes: int = MAX_FILE_BYTES,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Open at once. Raises OSError when the file cannot be written."""
        self.name = "json" if path is None else f"json {path.name}"
        self._path = path
        self._max_bytes = max_bytes
        self._file: TextIO = sys.stdout if path is None else path.open("a", encoding="utf-8")
        self._events = WaitingEvents(self.name, self._write, on_failure=on_failure)

    @property
    def lost(self) -> int:
        """Frames and events whose line could not be written."""
        return self._events.lost

    def on_inferred(self, result: Inferred) -> None:
        """A frame's boxes are there."""
        self._events.put(result)

    def on_event(self, event: ObjectEvent | LineCrossing) -> None:
        """An object came, changed or went, or crossed a line."""
        self._events.put(event)

    def on_status(self, status: CellStatus) -> None:
        """Nothing of it stands in the lines."""

    def close(self) -> None:
        """Write what waits and close the file."""
        self._events.close()
        if self._path is not None:
            try:
                self._file.close()
            except OSError:  # a full disk: what was lost is counted
                return

    def _write(self, told: list[Inferred | ObjectEvent | LineCrossing]) -> None:
        # A name as it is written, so that `grep 大门` finds its camera; escaped where the terminal has ASCII alone.
        if self._file.closed and self._path is not None:
            self._file = self._path.open("a", encoding="utf-8")  # it could not be opened when it began anew
        is_utf8 = (self._file.encoding or "").lower().replace("-", "") == "utf8"
        for item in told:
            print(json.dumps(line_from_told(item), ensure_ascii=not is_utf8), file=self._file, flush=True)
        if self._path is not None and self._file.tell() > self._max_bytes:
            self._rotate(self._path)

    def _rotate(self, path: Path) -> None:
        self._file.close()
        for number in range(KEPT_FILES, 1, -1):
            older = path.with_name(f"{path.name}.{number - 1}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
        path.replace(path.with_name(f"{path.name}.1"))
        self._file = path.open("a", encoding="utf-8")
