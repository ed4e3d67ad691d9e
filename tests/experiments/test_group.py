from __future__ import annotations

from experiments.gpu.group import account_mib, tables_from_rounds
from photofinish.machine.triton_metrics import metrics_from_text

PAGE = """own{device="cuda:0",instance="7/a_0_0",model="a"} 104857600
own{device="cuda:0",instance="7/a_0_1",model="a"} 10485760
own{device="cuda:0",instance="7/b_0_0",model="b"} 52428800
own{device="cuda:0",instance="9",model="c"} 629145600
common{device="cuda:0",instance="7/a_0_0",model="a"} 344981504
common{device="cuda:0",instance="7/b_0_0",model="b"} 345000000
"""


def test_what_is_common_counts_once_for_a_process() -> None:
    found = account_mib(tuple(metrics_from_text(PAGE)), "own", "common")
    assert found == {"models": {"a": 110, "b": 50, "c": 600}, "common": 329, "sum": 1089}


def test_both_ways_are_compared_load_by_load() -> None:
    found = {
        (way, "a", load): [{"p50_ms": value} for value in values]
        for way, load, values in (
            ("apart", "alone", (2.0, 2.2, 1.9)),
            ("grouped", "alone", (2.1, 2.3, 2.2)),
            ("apart", "together", (4.0, 4.0, 4.0)),
            ("grouped", "together", (3.0, 3.0, 3.0)),
        )
    }
    tables = tables_from_rounds(found)
    assert tables["a"]["alone"]["apart"] == {"p50_ms": 2.0, "by_round": [2.0, 2.2, 1.9]}
    assert tables["a"]["alone"]["grouped_to_apart"] == 1.1
    assert tables["a"]["together"]["grouped_to_apart"] == 0.75
