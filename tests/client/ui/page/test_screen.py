from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from photofinish.client.triton.transport import SYSTEM_SHM
from photofinish.client.ui.page.machine import MemoryReading
from photofinish.client.ui.page.screen import UNTRAINED, format_significant, screen_from_state
from photofinish.client.ui.page.split_view import Choice, SideState, ViewState
from photofinish.client.ui.processes.board import SideNumbers
from photofinish.client.ui.processes.child import ChildStatus
from photofinish.client.ui.processes.side import Side
from tests.builders import build_card

FACTS = {"name": "clip.mp4", "size_wh": (1280, 720), "frames_per_s": 29.97, "is_live": False, "is_reduced": False}


def build_side(fps: float | None, p50_ms: float | None, **card: Any) -> SideState:
    return SideState(
        model_name="toy",
        child=ChildStatus(state="running", facts={"card": build_card(**card), "transport": SYSTEM_SHM, "notices": ()}),
        numbers=SideNumbers(
            frames_per_s=fps,
            p50_ms=p50_ms,
            p95_ms=None,
            recall=None,
            precision=None,
            frames_done=1234,
            frames_dropped=5,
        ),
        memory=MemoryReading(text="412 MiB", note="this model's own process"),
        is_live=True,
    )


def build_state(**changes: Any) -> ViewState:
    sides: dict[Side, SideState] = {"baseline": build_side(10.0, 80.0), "optimised": build_side(40.0, 20.0)}
    values: dict[str, Any] = {
        "choice": Choice(source="synthetic", baseline="toy_a", optimised="toy_b"),
        "machine": "a machine",
        "source": ChildStatus(state="running", facts=FACTS),
        "sides": sides,
    }
    return ViewState(**{**values, **changes})


def test_ratio_names_what_it_compares() -> None:
    ratio = screen_from_state(build_state())["ratio"]
    assert (ratio["first"], ratio["first_words"]) == ("4.0×", "the frames per second")
    assert (ratio["second"], ratio["second_words"]) == ("4.0×", "shorter P50 latency")
    assert ratio["is_won"]


def test_a_slower_optimised_side_is_called_slower() -> None:
    sides = {"baseline": build_side(10.0, 20.0), "optimised": build_side(5.0, 50.0)}
    ratio = screen_from_state(build_state(sides=sides))["ratio"]
    assert (ratio["first"], ratio["first_words"]) == ("0.5×", "the frames per second")
    assert (ratio["second"], ratio["second_words"]) == ("2.5×", "longer P50 latency")
    assert not ratio["is_won"]


def test_at_a_camera_rate_latency_comes_first() -> None:
    choice = Choice(source="rtsp://camera/1", baseline="toy_a", optimised="toy_b")
    assert screen_from_state(build_state(choice=choice))["ratio"]["first_words"] == "shorter P50 latency"


def test_no_figures_no_ratio() -> None:
    screen = screen_from_state(
        build_state(sides={"baseline": build_side(None, None), "optimised": build_side(4.0, 2.0)})
    )
    assert screen["ratio"]["first"] == "–"
    assert not screen["ratio"]["is_won"]
    assert screen["numbers"] == {"fps_ratio": None, "p50_ratio": None}


def test_untrained_and_unlike_weights_are_said() -> None:
    sides = {"baseline": build_side(1.0, 1.0, untrained=True), "optimised": build_side(1.0, 1.0, weights_sha256="1")}
    screen = screen_from_state(build_state(sides=sides))
    assert screen["warnings"][0] == UNTRAINED
    assert "different weights" in screen["warnings"][1]
    assert screen["ratio"]["is_void"], "there is no gain between two networks"


def test_a_fallback_is_said() -> None:
    side = build_side(1.0, 1.0)
    facts = {**side.child.facts, "notices": ("no shared memory: gRPC is used",)}
    sides = {"baseline": build_side(1.0, 1.0), "optimised": replace(side, child=replace(side.child, facts=facts))}
    assert screen_from_state(build_state(sides=sides))["warnings"] == ["Optimised: no shared memory: gRPC is used"]


def test_trouble_is_the_childs_or_the_sources() -> None:
    side = replace(build_side(None, None), is_live=False)
    sides = {"baseline": side, "optimised": replace(side, child=ChildStatus(state="retrying", message="no server"))}
    source = ChildStatus(state="retrying", message="camera 0 does not exist")
    screen = screen_from_state(build_state(sides=sides, source=source))
    assert screen["sides"]["baseline"]["trouble"] == "camera 0 does not exist"
    assert screen["sides"]["optimised"]["trouble"] == "no server"


@pytest.mark.parametrize(
    ("p95_ms", "missing", "shown"),
    [(12.34, 0, "12.3 ms"), (None, 41, "– in 41 frames"), (None, 1, "– in 1 frame"), (None, 130, "– in 130 frames")],
)
def test_a_p95_says_how_many_frames_it_still_needs(p95_ms: float | None, missing: int, shown: str) -> None:
    side = build_side(10.0, 10.0)
    side = replace(side, numbers=replace(side.numbers, p95_ms=p95_ms, p95_missing=missing))
    screen = screen_from_state(build_state(sides={"baseline": side, "optimised": side}))
    assert "{p95} {p95_unit}".format(**screen["sides"]["baseline"]) == shown
    assert "P95 of at least 130 frames" in screen["footnote"]


@pytest.mark.parametrize(("device", "text"), [("cpu", "no GPU"), ("cuda", "412 MiB")])
def test_memory_of_a_model_on_the_cpu(device: str, text: str) -> None:
    sides = {"baseline": build_side(1.0, 1.0, device=device), "optimised": build_side(1.0, 1.0)}
    assert screen_from_state(build_state(sides=sides))["sides"]["baseline"]["memory"] == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (0.5, "0.50")]
)
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert format_significant(value) == text


@pytest.mark.parametrize(
    ("figures", "label", "text"),
    [
        ({"map50_95": 0.4728, "frames": 60, "dataset": "synthetic"}, "mAP50-95", "0.473"),
        ({"map50_95": None, "matched_share": 0.9968, "frames": 60, "dataset": "clip"}, "Boxes as FP32", "99.7%"),
        ({}, "", ""),
    ],
)
def test_accuracy_of_the_gate_is_shown_with_its_name(figures: dict[str, Any], label: str, text: str) -> None:
    sides = {"baseline": build_side(1.0, 1.0, accuracy=figures), "optimised": build_side(1.0, 1.0)}
    shown = screen_from_state(build_state(sides=sides))["sides"]["baseline"]["accuracy"]
    assert (shown["label"], shown["text"]) == (label, text)


def test_a_cameras_password_is_not_shown() -> None:
    choice = Choice(source="rtsp://admin:hunter2@cam/1?key=hunter2", baseline="toy_a", optimised="toy_b")
    screen = screen_from_state(build_state(choice=choice, source=ChildStatus(state="starting")))
    assert screen["source"] == "rtsp://cam/1"
    assert "hunter2" not in str(screen)
