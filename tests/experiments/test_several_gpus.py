"""The ratio of two searches, and where the second one begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments.gpu.several_gpus import bounds_for, main, scaling_of
from photofinish.errors import ConfigError
from photofinish.perf.cameras.finding import search_on
from photofinish.perf.cameras.search import NextStep
from photofinish.perf.record.find import FindProbe, FindRecord, write_find_record
from tests.perf.cameras.steps import find_record, machine_step
from tests.perf.cameras.test_shares import searched_on_two


def on_one(capacity: int = 17, steps: int = 100) -> FindRecord:
    left = [steps]

    def measure(step: NextStep) -> FindProbe:
        left[0] -= 1
        frames = 3000 if step.purpose == "confirm" else 300
        return FindProbe(purpose=step.purpose, step=machine_step(step.cameras, capacity, frames=frames))

    return search_on(
        find_record(gpus=(0,)),
        measure,
        seconds_left=lambda: 1e9 if left[0] else 0,
        on_probe=lambda found, item: None,
    )


def test_two_records_say_how_many_times_the_cameras() -> None:
    found = scaling_of(on_one(), searched_on_two())
    assert (found.one, found.several, found.ratio, found.is_enough) == (17, 34, 2.0, True)
    assert found.sentence() == "2 GPUs carry 34 cameras, 2.00 times the 17 of one (wanted: 1.9)"
    assert not scaling_of(on_one(18), searched_on_two()).is_enough


@pytest.mark.parametrize(
    ("one", "several", "words"),
    [
        (on_one(steps=3), searched_on_two(), "Not finished"),
        (replace(on_one(), wanted_fps=10.0), searched_on_two(), "the searches differ in wanted_fps"),
        (on_one(), on_one(), "one record must be of one GPU and one of several"),
    ],
)
def test_what_cannot_be_compared_is_refused(one: FindRecord, several: FindRecord, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        scaling_of(one, several)


def test_the_second_search_begins_where_the_goal_is() -> None:
    assert bounds_for(190, 2) == (361, 418)
    assert bounds_for(1, 2) == (2, 3)


def test_the_command_prints_bounds_then_each_gpu_and_the_ratio(tmp_path: Path) -> None:
    one, both, out = (tmp_path / name for name in ("one.json", "both.json", "out.json"))
    early = CliRunner().invoke(main, [str(one)])
    assert early.exit_code == 1
    write_find_record(on_one(), one)
    assert CliRunner().invoke(main, [str(one)]).output == "32 37\n"
    write_find_record(searched_on_two(), both)
    done = CliRunner().invoke(main, [str(one), str(both), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "3    17 cameras" in done.output
    assert "2.00 times the 17 of one" in done.output
    assert '"ratio": 2.0' in out.read_text()
