"""Crops against the two stages by hand: what each way does, and what the table makes of it."""

from __future__ import annotations

import contextlib

import pytest

from experiments.models.crops import (
    BATCHES,
    BY_HAND,
    CROP_COUNT,
    CROPS,
    FIRST,
    arms,
    measure_in_turn,
    ratio,
    record_from_times,
    table_from_record,
)
from photofinish.client.choosing.crops import CropChoice
from tests.client.fake_triton import FakeTriton
from tests.client.pipeline.test_staged import FIRST as FIRST_NAME
from tests.client.pipeline.test_staged import first, kinds, picture

MS = 1_000_000


def test_the_ratio_is_that_of_pairs() -> None:
    def times(*values_ms: int) -> dict[str, list[int]]:
        both = {"": list(values_ms), "second stage": [value // 2 for value in values_ms]}
        return {**{name: [value * MS for value in values] for name, values in both.items()}, CROP_COUNT: [2, 1, 3]}

    measured = {
        FIRST: {"": [5 * MS] * 3},
        BY_HAND: times(20, 40, 400),
        CROPS: times(10, 30, 400),
        BATCHES: times(40, 80, 800),
    }
    assert ratio(measured, CROPS) == pytest.approx([0.75, 0.5, 1.0])
    record = record_from_times(measured, {"note": "busy"})
    assert (record["crops_mean"], record["crops_most"], record["note"]) == (2, 3, "busy")
    assert record["p50"][1] == {"name": "by hand", "ms": 40}
    text = table_from_record(record)
    assert "| by hand, second stage | 20 | – | 3 |" in text
    assert "--crops by by hand: 0.750 (half of the pairs 0.500 to 1.000)" in text
    assert "--crops in batches, second stage by by hand: 2.000 (half of the pairs 2.000 to 2.000)" in text


def test_the_ways_take_turns_at_every_picture() -> None:
    asked: list[str] = []
    ways = {name: lambda frame, name=name: asked.append(name) or {"": len(asked)} for name in (FIRST, CROPS)}
    measured = measure_in_turn(ways, [picture()] * 2, passes=2, on_progress=lambda line: None)
    assert asked[-8:] == [FIRST, CROPS, CROPS, FIRST, CROPS, FIRST, FIRST, CROPS]
    assert [len(times[""]) for times in measured.values()] == [4, 4], "warm-ups do not count"


def test_both_ways_look_at_the_same_boxes_and_by_hand_asks_for_each() -> None:
    choice = CropChoice(model="kinds_onnx_fp32", classes=("car",))
    with FakeTriton(first(), kinds()) as server, contextlib.ExitStack() as stack:
        ways = arms(server.url, "", FIRST_NAME, choice, stack)
        asked = {}
        for name, way in ways.items():
            server.requests.clear()
            told = way(picture())
            asked[name] = (told.get(CROP_COUNT), [request.inputs[0].shape[0] for request in server.requests])
    assert asked == {FIRST: (None, [1]), BY_HAND: (2, [1, 1, 1]), CROPS: (2, [1, 1, 1]), BATCHES: (2, [1, 2])}
