"""Statuses and results that never came from a camera."""

from __future__ import annotations

import numpy as np

from photofinish.client.cameras.values.outcome import CameraDropCause, Inferred
from photofinish.client.cameras.values.status import (
    CameraStatus,
    CellStatus,
    DropCount,
    IngestPhase,
    IngestProblem,
    IngestReport,
)
from photofinish.detections import Detections


def camera_status(name: str = "door", **fields: object) -> CameraStatus:
    count = DropCount(due=10, inferred=7, dropped={CameraDropCause.TOO_OLD: 2}, pending=1)
    ingest = IngestReport(
        camera=name, phase=IngestPhase.PLAYING, connections=3, stalls=1, pictures=9, lines=("PLAY 200",)
    )
    made = {"wanted_fps": 5.0, "served_fps": 4.8, "quality": "fair", "count": count, "ingest": ingest, **fields}
    return CameraStatus(camera=name, shown_url="rtsp://cam/1", priority=0, **made)  # type: ignore[arg-type]


def dead_camera(name: str = "yard") -> CameraStatus:
    ingest = IngestReport(
        camera=name,
        phase=IngestPhase.WAITING,
        problem=IngestProblem.REFUSED,
        message="nobody listens there",
        next_try_s=3.0,
    )
    count = DropCount(due=10, dropped={CameraDropCause.NOT_CONNECTED: 10})
    return camera_status(name, ingest=ingest, count=count, quality="none", served_fps=0.0)


def cell_status(*cameras: CameraStatus, **fields: object) -> CellStatus:
    made = {
        "variant": "toy",
        "lost_events": {"json": 3},
        "processes": {"ingest 0": 11, "decode 0": 12},
        "restarts": {"ingest 0": 0, "decode 0": 2},
        **fields,
    }
    return CellStatus(at_unix_ns=10**18, uptime_s=60.0, cameras=cameras, **made)  # type: ignore[arg-type]


def inferred(camera: str = "door", *, captured_ns: int = 0, latency_ms: float = 42.0, boxes: int = 1) -> Inferred:
    return Inferred(
        camera=camera,
        tick=0,
        captured_ns=captured_ns,
        captured_unix_ns=10**18,
        clock="rtcp",
        arrived_ns=captured_ns,
        finished_ns=captured_ns + int(latency_ms * 1e6),
        size_wh=(640, 360),
        detections=Detections(
            boxes_xyxy=np.full((boxes, 4), (100, 100, 300, 300), np.float32),
            confidence=np.full(boxes, 0.9, np.float32),
            class_id=np.zeros(boxes, np.int32),
        ),
        class_names=("person",),
        variant="toy",
    )
