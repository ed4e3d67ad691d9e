"""A step is judged by its worst camera, and not at all where the machine was not what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photofinish.perf.cameras.goal import CameraGoal, verdict_on_step, void_reasons
from photofinish.perf.record.observation import GpuObservation
from tests.perf.cameras.steps import MS, machine_step, window

GOAL = CameraGoal()
HELD = machine_step(3, 10)


def test_a_step_in_time_holds() -> None:
    found = verdict_on_step(HELD, GOAL, is_sure=True)
    assert (found.outcome, found.reasons) == ("held", ())
    assert (found.slowest_p99_ms, found.dropped_share) == (40.0, 0.0)


def test_one_bad_camera_of_many_misses_it() -> None:
    slow = replace(window("b"), latencies_ns=(40 * MS,) * 980 + (500 * MS,) * 20)
    found = verdict_on_step(replace(HELD, rows=(*HELD.rows, slow)), GOAL, is_sure=True)
    assert (found.outcome, found.slowest) == ("missed", "b")
    assert found.reasons == ("b has a P99 of 500 ms (at most 150 ms)",)
    found = verdict_on_step(replace(HELD, rows=(*HELD.rows, window("c", dropped=11))), GOAL, is_sure=True)
    assert found.reasons == ("c lost 1.1 % of its frames (at most 1 %)",)
    dead = window("d", dropped=1000, cause="not_connected")
    found = verdict_on_step(replace(HELD, rows=(*HELD.rows, dead)), GOAL, is_sure=True)
    assert (found.outcome, found.dropping, found.dropped_share) == ("missed", "d", 1.0)


def test_cameras_that_are_disturbed_on_purpose_do_not_count() -> None:
    cut = window("cut", dropped=300, cause="not_connected")
    step = replace(HELD, rows=(*HELD.rows, cut))
    assert verdict_on_step(step, GOAL, is_sure=True, apart=("cut",)).outcome == "held"


def test_a_confirmation_needs_frames_enough_for_each_camera() -> None:
    short = machine_step(2, 10, frames=300)
    assert verdict_on_step(short, GOAL, is_sure=False).outcome == "held"
    found = verdict_on_step(short, GOAL, is_sure=True)
    assert found.reasons == ("2 cameras have too few frames for a P99",)
    assert GOAL.frames_needed() == 669
    assert verdict_on_step(machine_step(2, 10, frames=669), GOAL, is_sure=True).outcome == "held"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"late_p99_ms": 5.5}, "generator: sent 5.5 ms late"),
        ({"late_p99_ms": None, "late_max_ms": None}, "generator: no picture was sent"),
        ({"late_p99_ms": None, "late_max_ms": 9.0}, "generator: once 9.0 ms late, and too few pictures"),
        ({"lost_packets": 3}, "loopback: 3 packets were lost"),
        (
            {"gpus": (GpuObservation(index=1, name="x", throttle_reasons=("power_cap", "thermal")),)},
            "GPU 1: its clocks",
        ),
    ],
)
def test_what_voids_a_step(changes: dict[str, object], words: str) -> None:
    step = replace(machine_step(3, 1), **changes)  # type: ignore[arg-type]
    found = verdict_on_step(step, GOAL, is_sure=False)
    assert found.outcome == "void"
    assert found.reasons[0].startswith(words)


def test_a_power_cap_and_few_pictures_in_time_void_nothing() -> None:
    capped = replace(HELD, gpus=(GpuObservation(index=0, name="x", throttle_reasons=("power_cap",)),))
    assert void_reasons(capped) == []
    assert void_reasons(replace(HELD, late_p99_ms=None, late_max_ms=4.0)) == []


def test_what_else_misses() -> None:
    assert "not every camera" in verdict_on_step(replace(HELD, is_warm=False), GOAL, is_sure=True).reasons[0]
    assert "ended by themselves" in verdict_on_step(replace(HELD, restarts=1), GOAL, is_sure=True).reasons[0]


def test_where_all_were_asked_of_the_gpu_one_on_the_cpu_misses() -> None:
    goal = CameraGoal(min_gpu_decode=1.0)
    rows = tuple(replace(row, decode="gpu") for row in HELD.rows)
    assert verdict_on_step(replace(HELD, rows=rows), goal, is_sure=True).outcome == "held"
    other = replace(HELD, rows=(*rows[1:], replace(rows[0], decode="cpu")))
    found = verdict_on_step(other, goal, is_sure=True)
    assert found.reasons == ("2 by a GPU, 1 by the CPU: not all by sessions of a GPU",)
    assert verdict_on_step(other, GOAL, is_sure=True).outcome == "held"
    assert verdict_on_step(other, goal, is_sure=True, apart=(rows[0].camera,)).outcome == "held"
    found = verdict_on_step(HELD, goal, is_sure=True)
    assert found.reasons == ("nothing is known of decoding: not all by sessions of a GPU",)


def test_latencies_from_arrival_hold_no_goal_from_capture() -> None:
    rows = (*HELD.rows[:-1], replace(HELD.rows[-1], clock="arrival"))
    found = verdict_on_step(replace(HELD, rows=rows), GOAL, is_sure=True)
    assert found.outcome == "void"
    assert found.reasons == ("clocks: 1 cameras told no time of capture, so their latency is from arrival",)
    cut = verdict_on_step(replace(HELD, rows=rows), GOAL, is_sure=True, apart=(rows[-1].camera,))
    assert cut.outcome == "held"
