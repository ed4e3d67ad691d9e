"""Crops against the two stages by hand: what each way does, and what the table makes of it."""

from __future__ import annotations

import contextlib

import pytest

from experiments.models.crops import (
    BY_HAND,
    CROP_COUNT,
    CROPS,
    FIRST,
    arms,
    ratios,
    record_from_rounds,
    table_from_record,
)
from photofinish.client.choosing.crops import CropChoice
from tests.client.fake_triton import FakeTriton
from tests.client.pipeline.test_staged import FIRST as FIRST_NAME
from tests.client.pipeline.test_staged import first, kinds, picture

MS = 1_000_000


def test_the_ratio_is_that_of_all_rounds_and_of_each() -> None:
    def rounds(*values_ms: int) -> list[dict[str, list[int]]]:
        return [
            {"": [value * MS] * 3, "second stage": [value * MS // 2] * 3, CROP_COUNT: [2] * 3} for value in values_ms
        ]

    measured = {FIRST: [{"": [5 * MS] * 3}] * 2, BY_HAND: rounds(20, 40), CROPS: rounds(10, 30)}
    assert ratios(measured) == pytest.approx([10 / 20, 10 / 20, 30 / 40])
    record = record_from_rounds(measured, {"note": "busy"})
    assert (record["crops_mean"], record["crops_most"], record["note"]) == (2, 2, "busy")
    assert record["p50_ms"]["by hand"] == 20
    text = table_from_record(record)
    assert "| by hand, second stage | 10 | – | 6 |" in text
    assert "The whole, --crops by by hand: 0.500 (rounds 0.500 to 0.750)" in text


def test_both_ways_look_at_the_same_boxes_and_by_hand_asks_for_each() -> None:
    choice = CropChoice(model="kinds_onnx_fp32", classes=("car",))
    with FakeTriton(first(), kinds()) as server, contextlib.ExitStack() as stack:
        ways = arms(server.url, "", FIRST_NAME, choice, stack)
        asked = {}
        for name, way in ways.items():
            server.requests.clear()
            told = way(picture())
            asked[name] = (told.get(CROP_COUNT), [request.inputs[0].shape[0] for request in server.requests])
    assert asked == {FIRST: (None, [1]), BY_HAND: (2, [1, 1, 1]), CROPS: (2, [1, 2])}
