from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from photofinish.client.triton.transport import SYSTEM_SHM
from photofinish.client.ui.page.machine import MachineFacts, MemoryReading
from photofinish.client.ui.page.screen.document import screen_from_state
from photofinish.client.ui.page.screen.figures import significant
from photofinish.client.ui.page.split_view import Choice, SideState, ViewState
from photofinish.client.ui.processes.board import SideNumbers
from photofinish.client.ui.processes.child import ChildStatus
from photofinish.client.ui.processes.side import Side
from photofinish.client.ui.words import Language, PageWords
from photofinish.model_card import DEMO_WEIGHTS
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
            rate_frames=30,
        ),
        memory=MemoryReading(covers="alone", used_bytes=412 << 20),
        is_live=True,
    )


def build_state(**changes: Any) -> ViewState:
    sides: dict[Side, SideState] = {"baseline": build_side(10.0, 80.0), "optimised": build_side(40.0, 20.0)}
    values: dict[str, Any] = {
        "choice": Choice(source="synthetic", baseline="toy_a", optimised="toy_b"),
        "machine": MachineFacts(processor="a machine", cores=2),
        "source": ChildStatus(state="running", facts=FACTS),
        "sides": sides,
    }
    return ViewState(**{**values, **changes})


def shown(language: Language = "en", **changes: Any) -> dict[str, Any]:
    return screen_from_state(build_state(**changes), PageWords(language))


def test_ratio_names_what_it_compares() -> None:
    ratio = shown()["ratio"]
    assert (ratio["first"], ratio["first_words"]) == ("4.0×", "more frames per second")
    assert (ratio["second"], ratio["second_words"]) == ("4.0×", "shorter P50 latency")
    assert ratio["is_won"]


def test_a_slower_optimised_side_is_called_slower() -> None:
    sides = {"baseline": build_side(10.0, 20.0), "optimised": build_side(5.0, 50.0)}
    ratio = shown(sides=sides)["ratio"]
    assert (ratio["first"], ratio["first_words"]) == ("0.5×", "the frames per second")
    assert (ratio["second"], ratio["second_words"]) == ("2.5×", "longer P50 latency")
    assert not ratio["is_won"]


def test_at_a_camera_rate_latency_comes_first() -> None:
    choice = Choice(source="rtsp://camera/1", baseline="toy_a", optimised="toy_b")
    assert shown(choice=choice)["ratio"]["first_words"] == "shorter P50 latency"


def test_no_figures_no_ratio() -> None:
    screen = shown(sides={"baseline": build_side(None, None), "optimised": build_side(4.0, 2.0)})
    assert screen["ratio"]["first"] == "–"
    assert not screen["ratio"]["is_won"]
    assert screen["numbers"] == {"fps_ratio": None, "p50_ratio": None}


def test_untrained_and_unlike_weights_are_said() -> None:
    sides = {"baseline": build_side(1.0, 1.0, untrained=True), "optimised": build_side(1.0, 1.0, weights_sha256="1")}
    screen = shown(sides=sides)
    assert "its boxes mean nothing" in screen["warnings"][0]
    assert "different weights" in screen["warnings"][1]
    assert screen["ratio"]["is_void"], "there is no gain between two networks"


def test_the_same_weights_at_another_size_are_no_gain() -> None:
    """Exported again with `--input-size 320`, a variant keeps its weights and is four times as fast."""
    for input_wh, is_void in (((64, 36), False), ((32, 32), True)):
        sides = {"baseline": build_side(1.0, 1.0), "optimised": build_side(4.0, 0.2, input_wh=input_wh)}
        assert shown(sides=sides)["ratio"]["is_void"] is is_void


def test_a_fallback_is_said() -> None:
    side = build_side(1.0, 1.0)
    facts = {**side.child.facts, "notices": ("no shared memory: gRPC is used",)}
    sides = {"baseline": build_side(1.0, 1.0), "optimised": replace(side, child=replace(side.child, facts=facts))}
    assert shown(sides=sides)["warnings"] == ["Optimised: no shared memory: gRPC is used"]


def test_trouble_is_the_childs_or_the_sources() -> None:
    side = replace(build_side(None, None), is_live=False)
    sides = {"baseline": side, "optimised": replace(side, child=ChildStatus(state="retrying", message="no server"))}
    source = ChildStatus(state="retrying", message="camera 0 does not exist")
    screen = shown(sides=sides, source=source)
    assert screen["sides"]["baseline"]["trouble"] == "camera 0 does not exist"
    assert screen["sides"]["optimised"]["trouble"] == "no server"


@pytest.mark.parametrize(
    ("value_ms", "missing", "text", "unit"),
    [(12.34, 0, "12.3", "ms"), (None, 41, "needs 41 more", ""), (None, 662, "needs 662 more", "")],
)
def test_a_tail_says_how_many_frames_it_still_needs(value_ms: float | None, missing: int, text: str, unit: str) -> None:
    side = build_side(10.0, 10.0)
    tails = {"p95_ms": value_ms, "p95_missing": missing, "p99_ms": value_ms, "p99_missing": missing}
    side = replace(side, numbers=replace(side.numbers, **tails))
    screen = shown(sides={"baseline": side, "optimised": side})
    part = screen["sides"]["baseline"]
    assert (part["p95"], part["p95_unit"]) == (part["p99"], part["p99_unit"]) == (text, unit)


@pytest.mark.parametrize(
    ("frames", "seconds", "basis", "note"),
    [
        (1, 2.6, "1 frame in 2.60 s", "first estimate from 1 and 30 frames"),
        (4, 7.1, "4 frames in 7.10 s", "first estimate from 4 and 30 frames"),
        (5, 8.0, "", ""),
    ],
)
def test_there_is_a_number_from_one_frame_on(frames: int, seconds: float, basis: str, note: str) -> None:
    slow = build_side(frames / seconds, 2600.0)
    slow = replace(slow, numbers=replace(slow.numbers, rate_frames=frames, rate_s=seconds))
    screen = shown(sides={"baseline": slow, "optimised": build_side(40.0, 20.0)})
    assert (screen["sides"]["baseline"]["basis"], screen["ratio"]["note"]) == (basis, note)
    assert screen["ratio"]["is_won"]
    assert "–" not in (screen["ratio"]["first"], screen["sides"]["baseline"]["fps"])


@pytest.mark.parametrize(("device", "text"), [("cpu", ""), ("cuda", "412 MiB")])
def test_memory_of_a_model_on_the_cpu(device: str, text: str) -> None:
    sides = {"baseline": build_side(1.0, 1.0, device=device), "optimised": build_side(1.0, 1.0)}
    assert shown(sides=sides)["sides"]["baseline"]["memory"] == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (0.5, "0.50")]
)
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


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
    part = shown(sides=sides)["sides"]["baseline"]["accuracy"]
    assert (part["label"], part["text"]) == (label, text)


def test_a_cameras_password_is_not_shown() -> None:
    choice = Choice(source="rtsp://admin:hunter2@cam/1?key=hunter2", baseline="toy_a", optimised="toy_b")
    screen = shown(choice=choice, source=ChildStatus(state="starting"))
    assert screen["source"] == "rtsp://cam/1"
    assert "hunter2" not in str(screen)


def test_a_source_that_no_waiting_brings_back_is_told_once_across_both_panels() -> None:
    side = replace(build_side(None, None), is_live=False)
    source = ChildStatus(state="stopped", message="clip.mp4 does not exist", is_final=True)
    screen = shown(sides={"baseline": side, "optimised": side}, source=source)
    assert screen["trouble"] == "clip.mp4 does not exist. Choose another source below, then press Start."
    assert [part["trouble"] for part in screen["sides"].values()] == ["", ""]


def test_a_pause_is_told_once_across_both_panels() -> None:
    assert shown(is_paused=True)["trouble"].startswith("Paused while something else is measured")


def test_the_page_speaks_chinese() -> None:
    screen = shown("zh", other_cores=100.0, other_programs="python 1.2")
    assert screen["warnings"][0].startswith("其他程序占用了")
    assert "（python 1.2）" in screen["warnings"][0]
    screen = shown("zh")
    assert (screen["ratio"]["first"], screen["ratio"]["first_words"]) == ("4.0 倍", "帧率是基线的")
    assert (screen["ratio"]["second"], screen["ratio"]["second_words"]) == ("1/4.0", "P50 延迟降到基线的")
    assert screen["machine"] == "a machine · 2 核 · 无 GPU"
    assert screen["sides"]["optimised"]["how"].endswith("共享内存")
    assert screen["footnote"] == "两侧在同一服务器上同时运行。延迟从取帧算起，到得出检测框为止，取最近至少 30 帧。"


@pytest.mark.parametrize(("source", "is_said"), [("synthetic?seed=2", False), ("0", True), ("street.mp4", True)])
def test_the_demo_detector_says_that_it_knows_drawn_streets_only(source: str, is_said: bool) -> None:
    sides = {"baseline": build_side(1.0, 1.0, weights=DEMO_WEIGHTS), "optimised": build_side(1.0, 1.0)}
    choice = Choice(source=source, baseline="toy_a", optimised="toy_b")
    said = [text for text in shown(sides=sides, choice=choice)["warnings"] if "WEIGHTS=best.pt" in text]
    assert bool(said) is is_said


def test_a_server_that_is_started_again_is_told_instead_of_what_its_clients_say() -> None:
    said = "no answer from 127.0.0.1:8001; start a server with `photofinish serve`, or correct --url. Trying again"
    lost = replace(build_side(None, None), child=ChildStatus(state="retrying", message=said), is_live=False)
    sides: dict[Side, SideState] = {"baseline": lost, "optimised": lost}
    screen = shown(sides=sides, is_server_recovering=True)
    assert screen["trouble"].startswith("The server ended by itself and is being started again")
    assert screen["sides"]["baseline"]["trouble"] == ""
    other = shown(sides=sides)
    assert (other["trouble"], other["sides"]["baseline"]["trouble"]) == ("", said)
    assert shown(is_server_recovering=True)["trouble"] == "", "both sides go on already"


def test_before_the_first_frames_no_gain_is_named() -> None:
    sides: dict[Side, SideState] = {"baseline": build_side(None, None), "optimised": build_side(40.0, 20.0)}
    ratio = shown(sides=sides)["ratio"]
    assert (ratio["first"], ratio["first_words"], ratio["second_words"]) == ("–", "no figures yet", "")
