"""Two models on one picture: the turns of the ways, and what the table makes of them."""

from __future__ import annotations

import pytest

from experiments.models.several import FIRST, IN_TURN, SECOND, TOGETHER, WARM_UPS, measure, ratios, table_from_record
from tests.builders import build_frame

MS = 1_000_000


def rounds(*values_ms: int) -> list[dict[str, list[int]]]:
    return [{"": [value * MS] * 3, "a": [value * MS // 2] * 3, "b": [value * MS] * 3} for value in values_ms]


def test_the_ratio_is_that_of_all_rounds_and_of_each() -> None:
    measured = {FIRST: rounds(10, 10), SECOND: rounds(10, 30), IN_TURN: rounds(20, 40), TOGETHER: rounds(10, 30)}
    assert ratios(measured, (FIRST, SECOND)) == pytest.approx([10 / 20, 10 / 20, 30 / 40])
    text = table_from_record({"rounds_ns": measured, "variants": ["a", "b"]})
    assert "| one after the other | 20 | – | 6 |" in text
    assert "| together, a | 5 | – | 6 |" in text
    assert "Together by one after the other: 0.500 (rounds 0.500 to 0.750)" in text


def test_the_ways_take_turns_and_every_second_round_goes_backwards() -> None:
    asked: list[str] = []
    ways = {name: lambda frame, name=name: asked.append(name) or {"": 1} for name in (FIRST, TOGETHER)}
    measured = measure(ways, [build_frame()], seconds=0, rounds=2, on_progress=asked.append)
    assert asked[2 * WARM_UPS :] == ["round 1 of 2", FIRST, TOGETHER, "round 2 of 2", TOGETHER, FIRST]
    assert measured == {name: [{"": [1]}, {"": [1]}] for name in ways}
