"""What the machine's own records say, from a committed record as if it had been measured here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from photofinish.client.ui.page.why.known import MachineRecord
from photofinish.flows.showing import recall
from photofinish.perf.record.record import Record, read_record
from tests.conftest import CHECKOUT

RECORD = CHECKOUT / "results" / "cpu2_demo.json.gz"
RIVALS = "h200_yolo26n_coco.json.gz"


@pytest.fixture(scope="module")
def record() -> Record:
    return read_record(RECORD)


def test_the_ladder_of_this_machine_is_recalled(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(RECORD, tmp_path / RECORD.name)
    (tmp_path / "newer.json").write_text("{}")
    os.utime(tmp_path / "newer.json")
    own = record.sections[0].arms[1]
    monkeypatch.setattr(recall, "cpu_name", lambda: record.environment["cpu"])
    monkeypatch.setattr(recall, "usable_cores", lambda: record.environment["cpu_cores"])
    found = recall.recall_from_results(own.model, own.weights_sha256, results=tmp_path)
    assert (found.plain_ratio, found.plain_at) == (None, ""), "that record has no rivals"
    assert found.ladder_at == record.created_utc[:10]
    assert found.ladder[0].times == 1.0
    assert all(set(step.name) == {"en", "zh"} and step.ms > 0 for step in found.ladder)
    assert recall.recall_from_results(own.model, "another network", results=tmp_path) == MachineRecord()
    monkeypatch.setattr(recall, "usable_cores", lambda: 999)
    assert recall.recall_from_results(own.model, own.weights_sha256, results=tmp_path) == MachineRecord()


def test_the_gain_over_plain_pytorch_is_recalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(CHECKOUT / "results" / RIVALS, tmp_path / RIVALS)
    record = read_record(tmp_path / RIVALS)
    own = next(section for section in record.sections if section.kind == "rivals").arms[-1]
    told = record.environment
    monkeypatch.setattr(recall, "cpu_name", lambda: told["cpu"])
    monkeypatch.setattr(recall, "usable_cores", lambda: told["cpu_cores"])
    monkeypatch.setattr(recall, "gpus_here", lambda: [gpu["name"] for gpu in told["gpus"]])
    found = recall.recall_from_results(own.model, own.weights_sha256, results=tmp_path)
    assert found.plain_ratio == pytest.approx(6.44, abs=0.01), "as README.md has it"
    assert found.plain_at == record.created_utc[:10]
    times = {step.rung: step.times for step in found.ladder}
    assert times.pop("plain") == 1.0
    assert times
    assert set(times.values()) == {None}, "the report has the gain of each of its rungs in brackets"
