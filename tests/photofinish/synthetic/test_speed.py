"""The camera keeps up with a video stream on one core."""

from __future__ import annotations

import time

import cv2

from photofinish.synthetic import SyntheticCamera

MIN_FRAMES_PER_S = 20
"""A quarter of what one core of a 2024 server gives (docs say how it is measured): a busy machine still passes."""


def test_720p_frames_per_second_of_processor_time() -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        camera = SyntheticCamera()
        for index in range(20):
            camera.frame(index)
        best = 0.0
        for start in range(20, 120, 20):
            begun = time.process_time()
            for index in range(start, start + 20):
                camera.frame(index)
            best = max(best, 20 / (time.process_time() - begun))
    finally:
        cv2.setNumThreads(threads)
    assert best >= MIN_FRAMES_PER_S, f"{best:.0f} frames a second"
