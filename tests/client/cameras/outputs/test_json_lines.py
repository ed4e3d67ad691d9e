"""JSON lines: what they say, files that begin anew, a full disk, and a receiver that is too slow."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from photofinish.client.cameras.outputs.json_lines import JsonLines, line_from_inferred
from photofinish.client.cameras.outputs.output import WaitingEvents
from photofinish.client.cameras.values.event import LineCrossing
from photofinish.client.cameras.values.outcome import Inferred
from photofinish.detections import Detections, empty_detections


def inferred(tick: int = 0, *, with_box: bool = True) -> Inferred:
    box = Detections(
        boxes_xyxy=np.array([[1, 2, 30.25, 40]], np.float32),
        confidence=np.array([0.5], np.float32),
        class_id=np.array([1], np.int32),
    )
    return Inferred(
        camera="door",
        tick=tick,
        captured_ns=10**9,
        captured_unix_ns=1_700_000_000_250_000_000,
        clock="rtcp",
        arrived_ns=10**9,
        finished_ns=10**9 + 12_340_000,
        size_wh=(640, 360),
        detections=box if with_box else empty_detections(),
        class_names=("car", "person"),
        variant="toy_onnx_fp32",
    )


def test_a_line_says_everything_and_is_json() -> None:
    line = json.loads(json.dumps(line_from_inferred(inferred())))
    assert line == {
        "camera": "door",
        "frame": 0,
        "captured": "2023-11-14T22:13:20.250Z",
        "clock": "rtcp",
        "latency_ms": 12.34,
        "width": 640,
        "height": 360,
        "variant": "toy_onnx_fp32",
        "detections": [{"class": "person", "confidence": 0.5, "box": [1.0, 2.0, 30.2, 40.0]}],
    }
    assert line_from_inferred(inferred(with_box=False))["detections"] == []


def test_boxes_bear_the_ids_of_their_events_and_events_are_lines_too(tmp_path: Path) -> None:
    output = JsonLines(tmp_path / "out.jsonl")
    output.on_inferred(replace(inferred(), track_ids=("1.000000-abcdef",)))
    output.on_inferred(replace(inferred(), track_ids=("",)))
    crossing = LineCrossing(
        camera="door",
        line="gate",
        label="car",
        direction="out",
        event_id="1.000000-abcdef",
        frame_unix_ns=10**9,
        count_in=0,
        count_out=1,
    )
    output.on_event(crossing)
    output.close()
    tracked, untracked, told = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert tracked["detections"][0]["track"] == "1.000000-abcdef"
    assert "track" not in untracked["detections"][0]
    assert (told["type"], told["line"], told["out"]) == ("crossing", "gate", 1)
    assert "frame" not in told


def test_a_name_stands_in_the_file_as_it_is_written(tmp_path: Path) -> None:
    output = JsonLines(tmp_path / "out.jsonl")
    output.on_inferred(replace(inferred(), camera="大门"))
    output.close()
    assert '"camera": "大门"' in (tmp_path / "out.jsonl").read_text(encoding="utf-8")


def test_a_file_begins_anew_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    output = JsonLines(path, max_bytes=2000)
    for tick in range(100):
        output.on_inferred(inferred(tick))
    output.close()
    files = sorted(tmp_path.iterdir())
    assert [item.name for item in files] == [f"out.jsonl{suffix}" for suffix in ("", ".1", ".2", ".3", ".4")]
    assert all(item.stat().st_size < 2600 for item in files)
    newest = [json.loads(line)["frame"] for item in files[1:2] for line in item.read_text().splitlines()]
    assert newest == sorted(newest)
    assert output.lost == 0


def test_a_full_disk_loses_lines_with_a_count_and_one_message() -> None:
    said: list[str] = []
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    output = JsonLines(Path("/dev/full"), on_failure=said.append)
    for tick in range(20):
        output.on_inferred(inferred(tick))
    output.close()
    assert output.lost == 20
    assert said == ["json full: events are lost: No space left on device"]


def test_a_fault_of_ours_loses_what_is_in_hand_and_the_thread_goes_on() -> None:
    said, handled = list[str](), list[object]()

    def handle(events: list[object]) -> None:
        if events == [1]:
            raise ValueError("no such thing")
        handled.extend(events)

    events = WaitingEvents("odd", handle, on_failure=said.append)
    for number in range(3):
        assert events.put(number)
    assert events.close()
    assert (handled, events.lost) == ([0, 2], 1)
    assert said == ["odd: events are lost: ValueError: no such thing; please report it"]


def test_a_slow_receiver_loses_events_and_holds_nobody_up() -> None:
    gate = threading.Event()
    events = WaitingEvents("slow", lambda event: gate.wait(60), limit=3)
    for number in range(10):
        events.put(number)
    assert events.lost in (6, 7)
    gate.set()
    events.close()
    assert events.lost in (6, 7)


def test_a_file_that_could_not_begin_anew_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line after it was lost, for as long as the run went on."""
    path, told = tmp_path / "frames.jsonl", list[str]()
    refusals = [OSError(30, "Read-only file system")]
    replace_really = Path.replace

    def replace_later(old: Path, new: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return replace_really(old, new)

    monkeypatch.setattr(Path, "replace", replace_later)
    output = JsonLines(path, max_bytes=1, on_failure=told.append)
    output.on_inferred(inferred(1))
    output.on_inferred(inferred(2))
    output.close()
    assert len(told) == 1
    assert [json.loads(line)["frame"] for line in (tmp_path / "frames.jsonl.1").read_text().splitlines()] == [1, 2]
