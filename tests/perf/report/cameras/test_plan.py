"""A plan in words: every row is marked, a scaled rate too, in both languages and for programs."""

from __future__ import annotations

import json

import pytest

from photofinish.perf.cameras.plan import CameraNeed, plan_rows
from photofinish.perf.cameras.silicon import GPUS, gpu_named
from photofinish.perf.report.cameras.plan import CameraPlan, plan_json, plan_markdown, plan_table, plan_text
from photofinish.perf.report.words import Words


def plan(gpu: str = "", **need: object) -> CameraPlan:
    wanted = CameraNeed(**need)  # type: ignore[arg-type]
    return CameraPlan(need=wanted, rows=plan_rows(wanted), gpu=gpu_named(gpu) if gpu else None)


@pytest.mark.parametrize(("lang", "word"), [("en", "calculated"), ("zh", "计算值")])
def test_every_row_is_marked_as_calculated(lang: str, word: str) -> None:
    head, rows = plan_table(plan(cameras=70), Words(lang))
    assert len(rows) == len(GPUS)
    assert all(row[-1] == word for row in rows)
    assert all(len(row) == len(head) for row in rows)
    assert "70" in head[-2]


def test_a_scaled_engine_is_a_bound() -> None:
    _, rows = plan_table(plan(), Words())
    a10, h200 = (next(row for row in rows if row[0] == name) for name in ("A10", "H200"))
    assert a10[4].startswith("≥ ")
    assert a10[6].startswith("≥ ")
    assert not h200[4].startswith("≥")


def test_cameras_that_fit_and_those_that_do_not() -> None:
    _, rows = plan_table(plan(cameras=70, size_wh=(1920, 1080)), Words())
    found = {row[0]: row[-2] for row in rows}
    assert found["A10"] == "too many"
    assert found["H200"].startswith("fit, ")
    assert found["L4"] == "measure"  # at least 44 by an engine that nobody measured
    _, rows = plan_table(plan(codec="mjpeg", cameras=1), Words())
    assert {row[-3] for row in rows} == {"no decoder for MJPEG"}


def test_the_arithmetic_of_one_gpu() -> None:
    text = plan_text(plan("H100", cameras=70), Words())
    assert "7 engines x 771 frames/s (H.264, 1920 x 1080) x 0.831 for the clock x 2.25 for the pixels" in text
    assert "5080 pictures/s (H100) x 0.85 planned / 5 inferred" in text
    assert "5.25 for 70" in text


def test_markdown_and_json() -> None:
    text = plan_markdown(plan("A10", cameras=70), Words("zh"))
    assert text.count("\n| ") == len(GPUS) + 2
    document = json.loads(plan_json(plan(cameras=70)))
    assert document["kind"] == "cameras-plan"
    assert {row["basis"] for row in document["rows"]} == {"calculated"}
    assert {row["gpu"]: row["fits"] for row in document["rows"]}["H200"] is True
