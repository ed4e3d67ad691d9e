"""What the experiments with cameras judge by, and some hundred of the spoilt connections."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.cameras import faults, soak
from experiments.cameras.latency import PictureArrivals, figures
from experiments.cameras.malformed import PARTS, try_inputs
from experiments.cameras.quarters import LatencyQuarters
from experiments.cameras.running import HeardFrame, write_list
from photofinish.client.cameras.list.reading import cameras_from_file
from photofinish.client.cameras.rtsp.nal import annex_b_from_units
from photofinish.client.cameras.streams.clip import Clip, ClipPicture
from photofinish.client.cameras.values.camera import Camera


def test_spoilt_connections_end_as_broken_ones() -> None:
    """10,000 of them take a minute: `python -m experiments.cameras.malformed`."""
    tally = asyncio.run(try_inputs(range(200)))
    assert tally.failures == []
    assert {part: sum(found.values()) for part, found in tally.ended.items()} == dict.fromkeys(PARTS, 50)
    assert tally.pictures["rtp"] > 50
    assert tally.decoded["rtcp"] > 150


def test_latencies_are_told_by_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    quarters = LatencyQuarters(400.0)
    quarters.add(HeardFrame("cam", time.monotonic(), 99.0))
    monkeypatch.setattr("experiments.cameras.quarters.time.monotonic", lambda: 1000.0)
    quarters.begin()
    for second in range(400):
        quarters.add(HeardFrame("cam", 1000.0 + second, 10.2 + second // 100))
    found = quarters.document()
    assert [quarter["frames"] for quarter in found] == [100] * 4
    assert [quarter["p99_ms"] for quarter in found] == [10.5, 11.5, 12.5, 13.5]
    assert quarters.minute() == {"p50_ms": 11.5, "p95_ms": 13.5, "p99_ms": 13.5}
    assert quarters.minute() == {}, "nothing came since"


def document(**changes: Any) -> dict[str, Any]:
    return {
        "late_p99_ms": 1.0,
        "processes": [{"role": "owner", "grew": []}],
        "mismatches": [],
        "accounts": {"cam": {"due": 100, "inferred": 99}},
        "p99_rise": 1.02,
        "restarts": 0,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"late_p99_ms": 7.0}, "void: the streams were 7.0 ms late"),
        ({"late_p99_ms": None}, "void"),
        ({"processes": [{"role": "owner", "grew": ["threads"]}]}, "owner grew: threads"),
        ({"mismatches": ["cam"]}, "1 accounts do not add up"),
        ({"accounts": {"cam": {"due": 100, "inferred": 80}}}, "1 cameras lost more than a tenth"),
        ({"p99_rise": 1.2}, "P99 of the last quarter is 1.2 of the first's"),
        ({"restarts": 2}, "2 processes ended by themselves"),
    ],
)
def test_what_does_not_hold_is_said(changes: dict[str, Any], words: str) -> None:
    assert soak.failures_of(document()) == []
    (said,) = soak.failures_of(document(**changes))
    assert words in said


@pytest.mark.parametrize(
    ("times", "recovery_s"),
    [
        (np.arange(0, 30, 0.2), 0.0),
        ([*np.arange(0, 10, 0.2), *np.arange(21.5, 30, 0.2)], 1.5),
        ([*np.arange(0, 10, 0.2), *np.arange(15, 30, 0.2)], 0.0),
        (np.arange(0, 10, 0.2), None),
    ],
    ids=["nothing lost", "over 1.5 s after its cause", "over before its cause", "not over"],
)
def test_recovery_is_from_the_end_of_the_cause(times: Any, recovery_s: float | None) -> None:
    gaps = faults.gaps_s(times, 10.0, 30.0)
    assert faults.recovery_s(gaps, 20.0, 30.0) == recovery_s


def test_a_list_is_read_back(tmp_path: Path) -> None:
    cameras = [
        Camera(name="a", url="rtsp://127.0.0.1:1/x", user="viewer", password='p"\\ä', frames_per_s=2.5),
        Camera(name="b", url="rtsp://127.0.0.1:2/x", stall_s=1.5),
    ]
    write_list(tmp_path / "cameras.toml", cameras)
    found = cameras_from_file(tmp_path / "cameras.toml")
    assert list(found.cameras) == cameras
    assert not found.problems


def test_the_age_of_a_picture_is_from_when_it_was_sent() -> None:
    pictures = tuple(ClipPicture(payloads=(bytes([65, number]) * 30,), is_keyframe=True) for number in range(3))
    arrivals = PictureArrivals(Clip(codec="h264", size_wh=(64, 64), pictures=pictures, parameter_sets=()))
    for number, picture in enumerate(pictures * 2):
        data = annex_b_from_units([picture.payloads[0]])
        arrivals.on_picture(data, arrived_ns=1000 * number + 7)
    assert arrivals.ages_ns([1000 * number for number in range(6)], 3) == [7] * 6
    assert figures([1.0] * 10)["p99_ms"] is None
