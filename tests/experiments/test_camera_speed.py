from __future__ import annotations

from typing import Any

from experiments.camera_speed import SCENES, percentile_ms, render_times, table_from_entries


def test_every_frame_is_timed_and_its_objects_counted() -> None:
    times_ns, processor_ns, objects = render_times(0, 1.0, 3)
    assert len(times_ns) == 3
    assert min(times_ns) > 100_000, "a 720p picture takes longer than 0.1 ms"
    assert 0 < processor_ns
    assert objects > 0
    assert render_times(0, 0.0, 1)[2] == 0


def test_the_table_shows_the_slowest_and_the_fastest_town() -> None:
    def entry(scene: str, frames_per_s: float) -> dict[str, Any]:
        return {"scene": scene, "objects_per_frame": 20.0, "frames_per_s": frames_per_s, "p50_ms": 12.0, "p95_ms": 15.0}

    lines = table_from_entries([entry(scene, rate) for scene in SCENES for rate in (71.2, 64.8)]).splitlines()
    assert len(lines) == 2 + len(SCENES)
    assert lines[2] == "| default | 20–20 | 65–71 | 12.0–12.0 | 15.0–15.0 |"


def test_a_percentile_needs_its_frames() -> None:
    assert percentile_ms([1_000_000] * 129, 0.5) == 1.0
    assert percentile_ms([1_000_000] * 129, 0.95) is None
    assert percentile_ms([1_000_000] * 130, 0.95) == 1.0
    entries = [
        {"scene": scene, "objects_per_frame": 20.0, "frames_per_s": 65.0, "p50_ms": 12.0, "p95_ms": None}
        for scene in SCENES
    ]
    assert table_from_entries(entries).splitlines()[2].endswith("| 12.0–12.0 | – |")
