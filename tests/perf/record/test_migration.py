"""Records of schema 1: the sentences in them become values, and a broken one is refused as any other is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.record.changes import Change, NotRun
from photofinish.perf.record.migration import values_from_schema_1
from photofinish.perf.record.record import SCHEMA_VERSION, json_from_record, read_record

V1 = Path(__file__).parent / "data" / "record_v1.json"


def migrated(section: dict[str, Any]) -> dict[str, Any]:
    (found,) = values_from_schema_1({"sections": [section]}, "old.json")["sections"]
    return dict(found)


def not_run(label: str, reason: str) -> NotRun:
    (found,) = migrated({"kind": "ladder", "not_run": [{"label": label, "reason": reason}]})["not_run"]
    return NotRun(**found)


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("CUDA graphs", {"rung": "cuda_graphs"}),
        ("2 in flight", {"rung": "pipelining", "concurrency": 2}),
        ("batches of 8", {"rung": "batching", "concurrency": 2, "batch_size": 8}),
        ("toy, batch 64", {"model": "toy", "batch_size": 64}),
        ("toy at concurrency 4", {"model": "toy", "concurrency": 4}),
        (
            "perf_analyzer, toy at concurrency 4, batch 8",
            {"model": "toy", "concurrency": 4, "batch_size": 8, "generator": "perf_analyzer"},
        ),
        ("a thing of mine", {"label": "a thing of mine"}),
    ],
)
def test_what_was_not_run_is_known_by_its_label(label: str, found: dict[str, Any]) -> None:
    assert not_run(label, "the model takes smaller batches only") == NotRun(key="small", **found)


@pytest.mark.parametrize(
    ("reason", "key", "values"),
    [
        ("needs a rung before it; none is served here", "before", {}),
        ("needs an openvino FP32 variant; none is served here", "needs", {"what": "openvino"}),
        ("needs an openvino variant; none is served here", "needs", {"what": "openvino_any"}),
        ("toy takes batches of 4 at most", "batch", {"model": "toy", "size": "4"}),
        (
            "perf_analyzer exited with 99: no; output; the server's log has the other side of it",
            "exited",
            {"code": "99", "said": "no; output"},
        ),
        (
            "numpy is not installed; run `pip install 'photofinish[server]'`",
            "missing",
            {"name": "numpy", "command": "pip install 'photofinish[server]'"},
        ),
        ("CUDA error: {everything}", "error", {"said": "CUDA error: {everything}"}),
        ("needs a holiday; none is served here", "error", {"said": "needs a holiday; none is served here"}),
    ],
)
def test_why_it_was_not_run_becomes_a_key_with_values(reason: str, key: str, values: dict[str, str]) -> None:
    assert not_run("FP16", reason) == NotRun(key=key, values=values, rung="precision")


def arm(kind: str = "ladder", **changes: Any) -> dict[str, Any]:
    values = {"key": "engine", "label": "ONNX Runtime", "model": "toy", "change": "", **changes}
    (found,) = migrated({"kind": kind, "arms": [values]})["arms"]
    return dict(found)


def test_what_a_rung_changed_becomes_values() -> None:
    found = arm(change="engine pytorch → onnxruntime, CUDA graphs on → off, input 640 × 640 → 640 × 384")
    assert [Change(**item) for item in found["changes"]] == [
        Change(noun="engine", was="pytorch", now="onnxruntime"),
        Change(noun="cuda_graphs", was="on", now="off"),
        Change(noun="input", was="640 × 640", now="640 × 384"),
    ]
    assert "change" not in found
    assert arm()["changes"] == []
    for wrong in ("weather sun → rain", "engine pytorch"):
        with pytest.raises(ConfigError, match="is no change of contract, engine"):
            arm(change=wrong)


def test_an_arm_keeps_a_label_only_where_nothing_else_says_it() -> None:
    assert (arm()["rung"], arm()["label"]) == ("engine", "")
    assert arm("comparison", key="a", label="toy")["label"] == ""
    assert arm("comparison", key="a", label="mine")["label"] == "mine"
    row = {"key": "a", "concurrency": 4, "batch_size": 8}
    assert arm("sweep", label="toy at concurrency 4, batch 8", **row)["label"] == ""
    assert arm("sweep", label="toy at concurrency 1", **row)["label"] == "toy at concurrency 1"


def test_a_data_set_loses_its_size_and_a_gpu_its_sentences() -> None:
    accuracy = {"dataset": "synthetic camera, 120 frames", "frames": 120}
    assert arm(accuracy=accuracy)["accuracy"] == {"dataset": "synthetic camera", "frames": 120}
    assert arm(accuracy={"dataset": "clip"})["accuracy"] == {"dataset": "clip"}
    gpu = {"memory_method": "whole device", "throttle_reasons": ["software power cap", "hardware slowdown"]}
    (block,) = migrated({"kind": "sweep", "blocks": [{"observed": {"gpus": [gpu]}}]})["blocks"]
    assert block["observed"]["gpus"] == [{"memory_method": "device", "throttle_reasons": ["power_cap", "slowdown"]}]


def test_a_record_that_was_read_is_written_in_the_schema_of_today(tmp_path: Path) -> None:
    record = read_record(V1)
    path = tmp_path / "new.json"
    path.write_text(json_from_record(record), encoding="utf-8")
    assert json.loads(path.read_text())["schema_version"] == SCHEMA_VERSION
    assert read_record(path) == record


def broken(value: Any) -> Iterator[Any]:
    """The value with each of its nodes in turn replaced by something of another kind; of lists the first entry."""
    yield from (None, 3, "text", [], {}, [None])
    nodes = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in nodes:
        for other in broken(item):
            changed = copy.copy(value)
            changed[key] = other
            yield changed


def test_a_broken_record_of_schema_1_is_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    values = json.loads(V1.read_text())
    for section in values["sections"]:
        section["arms"], section["blocks"] = section["arms"][:1], section["blocks"][:1]
        for key in ("scheduled_ns", "sent_ns", "done_ns"):
            samples = section["blocks"][0]["samples"]
            samples[key] = samples[key][:2]
    path = tmp_path / "broken.json"
    refused = 0
    for section in broken(values["sections"][1]):
        path.write_text(json.dumps({**values, "sections": [section]}))
        try:
            read_record(path)
        except ConfigError:
            refused += 1
    assert refused > 100
