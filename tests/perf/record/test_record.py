"""The evidence: written, read back, and read from every schema version that ever was."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.judge.summary import summaries_from_section
from photofinish.perf.record.record import (
    SCHEMA_VERSION,
    Block,
    Record,
    json_from_record,
    keep_earlier,
    read_record,
    write_record,
)
from tests.perf.records import build_comparison, build_record

DATA = Path(__file__).parent / "data"


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    record = build_record()
    path = tmp_path / "deep" / "record.json"
    write_record(record, path)
    assert read_record(path) == record
    assert [item.name for item in path.parent.iterdir()] == ["record.json"]


def test_a_gzipped_record_reads_the_same(tmp_path: Path) -> None:
    plain = tmp_path / "run.json"
    write_record(build_record(), plain)
    packed = tmp_path / "run.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_record(packed) == read_record(plain)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_past_schema_version_is_still_read(version: int) -> None:
    record = read_record(DATA / f"record_v{version}.json")
    assert record.is_complete
    baseline, optimised = summaries_from_section(record.sections[0])
    assert baseline.latency["p50"] == pytest.approx(25.7e6, rel=0.05)
    gain = optimised.gain("p50")
    assert gain is not None
    assert gain.low < 10.9 < gain.high


def test_keys_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    values = json.loads(json_from_record(build_record()))
    values["something_new"] = 1
    values["sections"][0]["blocks"][0]["samples"]["also_new"] = [1]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(values))
    assert read_record(path) == build_record()


def _without(values: Any, *places: Any) -> None:
    for place in places[:-1]:
        values = values[place]
    del values[places[-1]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.update(schema_version=99), "schema_version 99, this version of Photofinish reads"),
        (lambda values: values.pop("schema_version"), "schema_version None"),
        (lambda values: values.update(schema_version=[1]), r"schema_version \[1\]"),
        (lambda values: values.pop("sections"), "lacks 'sections'"),
        (
            lambda values: _without(values, "sections", 0, "blocks", 2, "samples", "done_ns"),
            r"blocks\[2\].samples: lacks",
        ),
        (lambda values: values["sections"][0]["blocks"][0]["samples"]["done_ns"].pop(), "three times per request"),
        (lambda values: values["sections"][0]["blocks"][0]["samples"].update(done_ns=[0.5]), "whole numbers"),
        (lambda values: values["sections"][0]["blocks"][0]["samples"].update(window_ns=0), "three times per request"),
        (lambda values: values["sections"][0].update(kind="guess"), "kind must be of"),
        (
            lambda values: values["sections"][0]["blocks"][0]["samples"].update(failed=[9999]),
            "failed must name requests",
        ),
        (
            lambda values: values["sections"][0]["blocks"][0]["samples"].update(failed=[1, 1]),
            "failed must name requests",
        ),
        (lambda values: values["sections"][0]["blocks"][0].update(arm="nobody"), "every block must be of one arm"),
        (lambda values: values["harness"].update(closed_loop_p95_ns="fast"), "must be int, got str 'fast'"),
    ],
)
def test_a_broken_record_says_where(tmp_path: Path, change: Any, said: str) -> None:
    values = json.loads(json_from_record(build_record()))
    change(values)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=said):
        read_record(path)


def test_a_damaged_gzip_file_is_said(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(json_from_record(build_record()).encode()))
    packed[40:60] = bytes(byte ^ 0xFF for byte in packed[40:60])
    path = tmp_path / "run.json.gz"
    path.write_bytes(packed)
    with pytest.raises(ConfigError, match="cannot be read as a record"):
        read_record(path)


def _with_blocks(change: Callable[[Block], Block], *more: Block) -> Record:
    section = build_comparison()
    return build_record(sections=(replace(section, blocks=(*map(change, section.blocks), *more)),))


def _with_samples(**values: Any) -> Record:
    return _with_blocks(lambda block: replace(block, samples=replace(block.samples, **values)))


EDITED: dict[str, tuple[Callable[[], Record], str]] = {
    "a bad round taken out": (
        lambda: build_record(sections=(replace(build_comparison(), blocks=build_comparison().blocks[2:]),)),
        "blocks of 5 rounds where 6 were measured",
    ),
    "rounds that are not of one run": (
        lambda: _with_blocks(lambda item: replace(item, round=item.round + 5 * (item.arm == "optimised"))),
        "blocks of 6 rounds",
    ),
    "a block put in again": (
        lambda: _with_blocks(lambda item: item, build_comparison().blocks[0]),
        "two blocks of one round",
    ),
    "a block copied": (
        lambda: build_record(sections=(replace(
            build_comparison(),
            load=replace(build_comparison().load, rounds=12),
            blocks=tuple(
                replace(item, round=item.round + more) for more in (0, 6) for item in build_comparison().blocks
            ),
        ),)),
        "have the same requests",
    ),
    "answers before their requests": (
        lambda: _with_blocks(lambda item: replace(
            item, samples=replace(item.samples, done_ns=tuple(due - 1 for due in item.samples.scheduled_ns))
        )),
        "out of order",
    ),
    "a window that is too short": (lambda: _with_samples(window_ns=1_000_000), "outside their block"),
    "images that were not sent": (lambda: _with_samples(frames_per_request=100), "1 images in a request"),
    "two runs in one file": (
        lambda: build_record(sections=(build_comparison(), build_comparison(seed=8))),
        "two sections of one name",
    ),
    "no number": (
        lambda: _with_blocks(lambda item: replace(item, observed=replace(item.observed, other_cpu_cores=math.nan))),
        "NaN is no number",
    ),
}  # fmt: skip
"""What somebody may do to a record by hand, and what is said of it."""


@pytest.mark.parametrize("what", EDITED)
def test_a_record_that_no_run_can_have_written_is_refused(what: str, tmp_path: Path) -> None:
    build, said = EDITED[what]
    path = tmp_path / "edited.json"
    write_record(build(), path)
    with pytest.raises(ConfigError, match=said):
        read_record(path)


@pytest.mark.parametrize("text", ["", "not json", "[]", "3"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"other\.json"):
        read_record(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_record(tmp_path / "missing.json")


def test_a_record_that_cannot_be_put_in_place_leaves_no_half(tmp_path: Path) -> None:
    taken = tmp_path / "run.json"
    taken.mkdir()
    with pytest.raises(ConfigError, match="choose another place with --out"):
        write_record(build_record(), taken)
    assert list(tmp_path.iterdir()) == [taken]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="--out"):
        write_record(build_record(), blocked / "record.json")


def test_a_whole_record_is_kept_and_none_that_was_stopped(tmp_path: Path) -> None:
    out = tmp_path / "comparison.json"
    assert keep_earlier(out) is None
    whole = build_record()
    write_record(whole, out)
    kept = keep_earlier(out)
    assert kept == tmp_path / "comparison.before.json"
    assert read_record(kept) == whole
    stopped = replace(whole, sections=tuple(replace(item, complete=False) for item in whole.sections))
    write_record(stopped, out)
    assert keep_earlier(out) is None
    assert read_record(kept) == whole, "a run that was stopped takes no whole one's place"
