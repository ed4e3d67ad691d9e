from __future__ import annotations

from experiments.gpu.decoders import row_of_step
from photofinish.perf.record.cameras import read_cameras_record
from tests.conftest import CHECKOUT


def test_a_turn_is_told_in_a_row() -> None:
    step = read_cameras_record(CHECKOUT / "results" / "h200_cameras_250.json").steps[0]
    assert row_of_step(1, 32, step) == {
        "processes": 1,
        "threads": 32,
        "cameras": 250,
        "p50_ms": 57.0,
        "p99_ms": 527.5,
        "dropped_percent": 1.74,
        "decode_cores": 2.13,
    }
