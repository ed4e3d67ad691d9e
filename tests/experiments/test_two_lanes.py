from __future__ import annotations

from typing import Any

from experiments.gpu.two_lanes import row_from_rounds


def test_each_way_of_serving_is_compared_with_the_bare_loop_of_the_same_run() -> None:
    def results(*images_per_s: float) -> list[dict[str, Any]]:
        return [
            {"images_per_s": value, "mean_server_batch": 8.0, "p50_ms": 1.0, "p95_ms": 2.0} for value in images_per_s
        ]

    found: dict[int | str, list[Any]] = {
        1: results(500, 600, 550),
        2: results(900, 880, 910),
        "bare": [1000.0, 1010.0, 990.0],
    }
    row = row_from_rounds((8, 4), found)
    assert (row["batch"], row["clients"], row["rounds"], row["bare_images_per_s"]) == (8, 4, 3, 1000.0)
    assert (row["lanes_1"]["images_per_s"], row["lanes_1"]["share_of_bare"]) == (550, 0.55)
    assert (row["lanes_2"]["images_per_s"], row["lanes_2"]["share_of_bare"]) == (900, 0.9)
    assert row["lanes_2"]["by_round"] == [900, 880, 910]
