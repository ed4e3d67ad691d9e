"""Check lists: what meets, what misses, what cannot be told, and a generator that voids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.cameras.checks import DEFAULT_LIMITS, MIN_GPU_DECODE, checks_from_step, is_void
from photofinish.perf.cameras.lists import faults_of, lines_from_file, lines_from_step
from photofinish.perf.record.cameras import (
    CamerasRecord,
    CamerasStep,
    CameraWindow,
    is_cameras_file,
    read_cameras_record,
    write_cameras_record,
)
from photofinish.perf.record.observation import GpuObservation

MS = 1_000_000


def window(camera: str = "a", inferred: int = 1000, dropped: int = 0, latency_ms: float = 40) -> CameraWindow:
    causes = {"superseded": dropped} if dropped else {}
    return CameraWindow(
        camera=camera,
        due=inferred + dropped,
        inferred=inferred,
        dropped=causes,
        latencies_ns=(round(latency_ms * MS),) * inferred,
    )


def step(*rows: CameraWindow, window_s: float = 200, **fields: object) -> CamerasStep:
    values: dict[str, object] = {
        "cores": {"server": 0.5, "owner": 0.1, "generator": 5.0},
        "memory_bytes": {"server": 2**30, "generator": 2**40},
        "late_p99_ms": 1.0,
        "late_max_ms": 3.0,
        **fields,
    }
    chosen = rows or (window("a"), window("b"))
    return CamerasStep(
        cameras=len(chosen),
        window_s=window_s,
        warm_up_s=2,
        is_warm=True,
        rows=chosen,
        **values,  # type: ignore[arg-type]
    )


def record(*steps: CamerasStep, **fields: object) -> CamerasRecord:
    values: dict[str, object] = {"accuracy": {"map50_95": 0.4, "passed": True}, "limits": DEFAULT_LIMITS, **fields}
    return CamerasRecord(
        command="photofinish perf cameras",
        created_utc="2026-11-30T00:00:00Z",
        environment={"cpu_cores": 2, "memory_gib": 8.0, "gpus": []},
        variant="toy",
        stream={"size_wh": [640, 360], "frames_per_s": 5.0},
        wanted_fps=5.0,
        steps=steps,
        **values,  # type: ignore[arg-type]
    )


def outcomes(found: CamerasStep, **fields: object) -> dict[str, str]:
    return {check.name: check.outcome for check in checks_from_step(found, record(found, **fields))}


def test_all_is_met_one_line_each() -> None:
    found = step()
    assert set(outcomes(found).values()) == {"met"}
    lines = lines_from_step(found, record(found))
    assert lines[1] == "2 cameras for 200 s"
    assert [line[0] for line in lines[2:]] == ["✓"] * 9
    assert "✓ P95 latency                40.0 ms (at most 150 ms)" in lines
    assert faults_of(record(found)) == []


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (step(window("a"), window("b", 900)), {"fps of each camera"}),
        (step(window("a"), window("b", 1000, dropped=30)), {"drops"}),
        (step(window("a", latency_ms=120), window("b", latency_ms=120)), {"mean latency"}),
        (step(window("a", 1000), window("b", 1000), cores={"server": 1.9}), {"CPU"}),
        (step(memory_bytes={"owner": 7.5 * 2**30}), {"memory"}),
        (step(late_p99_ms=5.1), {"generator"}),
        (step(gpus=(GpuObservation(index=0, name="x", utilisation_mean=97.0),)), {"GPU 0"}),
    ],
)
def test_each_limit_is_missed_by_itself(found: CamerasStep, missed: set[str]) -> None:
    assert {name for name, outcome in outcomes(found).items() if outcome == "missed"} == missed
    assert faults_of(record(found))


def test_a_tail_above_the_limit_is_seen_though_the_mean_is_not() -> None:
    slow = replace(window("b", 1000), latencies_ns=(40 * MS,) * 970 + (900 * MS,) * 30)
    found = outcomes(step(window("a"), slow))
    assert (found["mean latency"], found["P95 latency"], found["P99 latency"]) == ("met", "met", "missed")


def test_percentiles_of_few_frames_are_not_told() -> None:
    found = step(window("a", 100), window_s=20)
    assert [(name, value) for name, value in outcomes(found).items() if value == "unknown"] == [
        ("P95 latency", "unknown"),
        ("P99 latency", "unknown"),
    ]
    text = "\n".join(lines_from_step(found, record(found)))
    assert "? P95 latency                30 frames more are needed, measure longer" in text
    assert faults_of(record(found)) == []


def test_cameras_that_never_came_are_missed_and_not_left_out() -> None:
    dead = CameraWindow(camera="dead", due=1000, inferred=0, dropped={"not_connected": 1000})
    found = outcomes(step(window("a"), dead))
    assert (found["fps of each camera"], found["drops"]) == ("missed", "missed")
    found = outcomes(step(dead))
    assert found["mean latency"] == "unknown"


def test_a_late_generator_voids_the_step() -> None:
    found = step(window("a", 10, dropped=500), late_p99_ms=9.0)
    assert is_void(checks_from_step(found, record(found)))
    assert lines_from_step(found, record(found))[1].endswith(", VOID")
    assert faults_of(record(found)) == ["1 cameras: void, the generator was late"]


@pytest.mark.parametrize(("longest", "outcome"), [(4.9, "met"), (6.0, "unknown"), (None, "unknown")])
def test_few_pictures_judge_a_generator_by_its_latest(longest: float | None, outcome: str) -> None:
    assert outcomes(step(late_p99_ms=None, late_max_ms=longest))["generator"] == outcome


@pytest.mark.parametrize(
    ("accuracy", "limits", "outcome"),
    [
        ({}, {}, "unknown"),
        ({"map50_95": 0.4, "passed": False}, {}, "missed"),
        ({"map50_95": 0.4, "passed": True}, {"min_map": 0.41}, "missed"),
        ({"map50_95": 0.4, "passed": True}, {"min_map": 0.39}, "met"),
    ],
)
def test_accuracy_is_the_gates(accuracy: dict[str, object], limits: dict[str, float], outcome: str) -> None:
    assert outcomes(step(), accuracy=accuracy, limits={**DEFAULT_LIMITS, **limits})["accuracy"] == outcome


def test_doubts_stand_below_the_list() -> None:
    found = replace(step(), other_cores=1.2, other_programs=(("node", 1.1),), restarts=1, is_warm=False)
    text = "\n".join(lines_from_step(found, record(found)))
    assert "other programs used 1.20 cores (node 1.1)" in text
    assert "1 processes ended by themselves" in text
    assert "not every camera was served" in text


def test_an_account_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="camera a: 10 frames were due, but 9"):
        CameraWindow(camera="a", due=10, inferred=9, dropped={})


def test_a_record_comes_back_and_is_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    written = record(step(), is_complete=True)
    write_cameras_record(written, path)
    assert is_cameras_file(path)
    found = read_cameras_record(path)
    assert found.steps == written.steps
    assert lines_from_file(path)[1:] == lines_from_step(found.steps[0], found)
    path.write_text(path.read_text().replace('"due":1000', '"due":999', 1))
    with pytest.raises(ConfigError, match=r"steps\[0\].rows\[0\]: camera a: 999 frames were due"):
        read_cameras_record(path)
    path.write_text('{"kind":"other"}')
    assert not is_cameras_file(path)
    with pytest.raises(ConfigError, match="no record that this version"):
        read_cameras_record(path)


def test_how_cameras_were_decoded_is_counted_and_judged_where_all_were_asked_of_the_gpu() -> None:
    ways = ("gpu", "gpu", "cpu", "pool")
    found = step(*(replace(window(str(n)), decode=way) for n, way in enumerate(ways)), session_limit=2)
    assert found.decoded == {"gpu": 2, "cpu": 1, "pool": 1}
    line = next(line for line in lines_from_step(found, record(found)) if "decode" in line)
    words = "2 by a GPU, 1 by the CPU, 1 by a GPU's pool for keyframes"
    assert line == f"✓ decode                     {words} (the GPU opened 2 sessions and no more)"
    asked = record(found, limits={**DEFAULT_LIMITS, MIN_GPU_DECODE: 100.0}, decode="gpu")
    line = next(line for line in lines_from_step(found, asked) if "decode" in line)
    assert line.startswith(f"✗ decode                     {words} (at least 100 % by sessions of a GPU; ")
    assert faults_of(asked) == ["4 cameras: decode"]
    whole = step(replace(window("a"), decode="gpu"))
    assert faults_of(record(whole, limits=asked.limits)) == []
    assert "decode" not in outcomes(step()), "an older record does not tell"
