"""A whole search on a simulated machine, cut off and gone on with; the record says what was found."""

from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.errors import ConfigError
from photofinish.flows.camera.find import _gone_on
from photofinish.perf.cameras.finding import needed_s, result_of, search_on, window_s
from photofinish.perf.cameras.search import NextStep
from photofinish.perf.record.find import FindProbe, FindRecord, is_find_file, read_find_record, write_find_record
from tests.perf.cameras.steps import find_record, machine_step

CAPACITY = 37


def run(step: NextStep) -> FindProbe:
    frames = 3000 if step.purpose == "confirm" else 300
    return FindProbe(
        purpose=step.purpose, step=machine_step(step.cameras, CAPACITY, frames=frames), overhead_s=step.cameras / 10
    )


def searched(record: FindRecord, seconds: float = 1e9) -> FindRecord:
    """As many steps as fit into so many seconds of their windows."""
    spent = [0.0]

    def measure(step: NextStep) -> FindProbe:
        spent[0] += window_s(record, step.purpose)
        return run(step)

    return search_on(record, measure, seconds_left=lambda: seconds - spent[0], on_probe=lambda found, item: None)


@pytest.fixture(scope="module")
def whole() -> FindRecord:
    return searched(find_record())


def test_it_finds_confirms_and_bounds(whole: FindRecord) -> None:
    found = result_of(whole)
    assert found.ended is not None
    assert (found.ended.ending, found.next) == ("found", None)
    assert CAPACITY - 1 <= found.ended.cameras <= CAPACITY
    assert found.confirmation is not None
    assert found.confirmation.cameras == found.ended.cameras
    assert found.above is not None
    assert found.above.verdict.outcome == "missed"
    assert found.wall is not None
    assert (found.wall.name, found.wall_cameras) == ("NVDEC", found.above.cameras)
    assert [item.probe.purpose for item in found.hard] == ["keyframes", "reconnects"]


def test_a_search_that_is_cut_off_goes_on_where_it_was(whole: FindRecord, tmp_path: Path) -> None:
    record, parts = find_record(), 0
    while result_of(record).ended is None:
        record = searched(record, 800)
        write_find_record(record, tmp_path / "find.json")
        record = read_find_record(tmp_path / "find.json")
        parts += 1
        assert parts < 10
    assert parts > 1
    assert [(probe.purpose, probe.step.cameras) for probe in record.probes] == [
        (probe.purpose, probe.step.cameras) for probe in whole.probes
    ]
    assert record.probes == whole.probes


def test_a_step_is_not_begun_that_does_not_fit() -> None:
    assert searched(find_record(), 80).probes == ()
    step = NextStep(purpose="confirm", cameras=20)
    assert needed_s(find_record(), step) > 600 + 30
    known = find_record().with_probe(run(NextStep(purpose="search", cameras=20)))
    assert needed_s(known, step) == pytest.approx(600 + 1.2 * 2)


def test_records_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"kind":"cameras"}')
    assert not is_find_file(path)
    with pytest.raises(ConfigError, match="no record that this version's"):
        read_find_record(path)


def test_settings_that_differ_are_seen(whole: FindRecord) -> None:
    before, other = whole.settings(), find_record(goal={"p99_ms": 100.0, "max_drops": 0.01}).settings()
    assert [key for key in before if before[key] != other[key]] == ["goal"]
    other = find_record(decode="gpu").settings()
    assert [key for key in before if before[key] != other[key]] == ["decode"]
    newer = find_record(goal={"p99_ms": 150.0, "max_drops": 0.01, "min_gpu_decode": 0.0}).settings()
    assert newer == before, "a search that an older release began goes on"


def test_a_search_goes_on_with_the_same_weights_and_software_alone(whole: FindRecord, tmp_path: Path) -> None:
    """The same name after another export, or after an upgrade: two halves of a search that say nothing together."""
    path = tmp_path / "find.json"
    environment = {**whole.environment, "packages": {"tensorrt": "10.1"}, "driver": "580"}
    begun = find_record(environment=environment, weights_sha256="ab", probes=whole.probes[:2])
    write_find_record(begun, path)
    assert _gone_on(find_record(environment=environment, weights_sha256="ab"), path).probes == begun.probes
    for other, key in (
        (find_record(environment=environment, weights_sha256="cd"), "weights"),
        (find_record(environment={**environment, "driver": "590"}, weights_sha256="ab"), "machine"),
        (find_record(environment={**environment, "packages": {"tensorrt": "10.9"}}, weights_sha256="ab"), "machine"),
    ):
        with pytest.raises(ConfigError, match=f"another {key}; .*--anew"):
            _gone_on(other, path)
    write_find_record(find_record(environment=environment, probes=whole.probes[:2]), path)
    assert _gone_on(begun, path).probes, "an older record tells no weights"
