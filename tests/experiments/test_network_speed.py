"""Networks in turn: what becomes of their rounds."""

from __future__ import annotations

import pytest

from experiments.models.network_speed import rows_from_rounds, table_from_rows

MS = 1_000_000


def test_each_variant_is_compared_with_the_first_in_its_own_way() -> None:
    rounds_ns = {
        "engine a": [{"": [8 * MS] * 3}, {"": [8 * MS] * 3}],
        "served a": [{"": [12 * MS]}, {"": [12 * MS]}],
        "engine b": [{"": [4 * MS] * 3}, {"": [2 * MS] * 2}],
        "served b": [{"": [12 * MS]}, {"": [6 * MS]}],
    }
    rows = {(row["way"], row["variant"]): row for row in rows_from_rounds(rounds_ns)}
    assert rows["engine", "a"]["times"] == rows["served", "a"]["times"] == 1
    engine = rows["engine", "b"]
    assert (engine["p50_ms"], engine["pictures"]) == (4, 5)
    assert (engine["times"], engine["times_least"], engine["times_most"]) == (2, 2, 4)
    assert rows["served", "b"]["times_most"] == pytest.approx(2)
    assert "| b | engine | 4 | 2.00 (2.00 to 4.00) | 5 |" in table_from_rows(list(rows.values()))
