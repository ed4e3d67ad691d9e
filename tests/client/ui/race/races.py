"""Races with arrivals that a person can check by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from photofinish.client.ui.race.replay import Race, RaceClaim, RaceLane, SeenPictures
from photofinish.detections import Detections

MS = 1_000_000
PICTURE_WH = (64, 36)


def detections(*boxes: tuple[float, float, float, float], confidence: float = 0.9) -> Detections:
    return Detections(
        boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.full(len(boxes), confidence, np.float32),
        class_id=np.zeros(len(boxes), np.int32),
    )


def lane(every_ms: float, count: int, *, variant: str = "toy", how: str = "PyTorch FP32") -> RaceLane:
    """A side whose frames arrive evenly."""
    times = (np.arange(1, count + 1) * every_ms * MS).astype(np.int64)
    return RaceLane(variant=variant, how=how, arrivals_ns=times)


def pictures(count: int = 4, *, missed_at: int | None = None) -> SeenPictures:
    """Grey pictures with two boxes each; the optimised side misses one in picture `missed_at`."""
    width, height = PICTURE_WH
    both = detections((4, 4, 24, 24), (30, 10, 60, 30))
    return SeenPictures(
        images=tuple(np.full((height, width, 3), 60 + 20 * number, np.uint8) for number in range(count)),
        found={
            "baseline": (both,) * count,
            "optimised": tuple(detections((4, 4, 24, 24)) if at == missed_at else both for at in range(count)),
        },
        class_names=("car",),
    )


def build_race(**changes: Any) -> Race:
    """The baseline every 100 ms, the optimised side every 25 ms, to the 50th frame: 5 s against 1.25 s."""
    values: dict[str, Any] = {
        "lanes": {"baseline": lane(100, 80), "optimised": lane(25, 320, how="ONNX Runtime FP16")},
        "finish": 50,
        "claim": RaceClaim(ratio=4.0, low=3.9, high=4.12),
        "pictures": pictures(),
        "machine": {"en": "A box with 2 cores", "zh": "双核机器"},
        "model": "toy · 64 × 64",
        "rounds": 10,
    }
    return Race(**(values | changes))
