"""The demo's own decisions, and its headless run on the real server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from client.frame_result import FrameResult
from photofinish.commands import demo as demo_command
from photofinish.commands.demo_truth import truth_table
from photofinish.detections import empty_detections
from photofinish.frame import Frame
from photofinish.synthetic import CLASS_NAMES, SyntheticCamera
from photofinish.variant import default_variants_path, variants_from_toml
from tests.builders import build_card


class FixedPipeline:
    """Finds everything, or nothing."""

    def __init__(self, *, finds: bool, class_names: tuple[str, ...] = CLASS_NAMES) -> None:
        self.card = build_card(class_names=class_names)
        self._finds = finds

    def run(self, frames: Iterable[Frame]) -> Iterator[FrameResult]:
        for frame in frames:
            found = frame.truth if self._finds else empty_detections()
            assert found is not None
            yield FrameResult(
                frame=frame, detections=found, begun_ns=0, finished_ns=1, prepare_ns=0, wire_ns=0, decode_ns=0
            )


@pytest.fixture(scope="module")
def frames() -> tuple[Frame, ...]:
    camera = SyntheticCamera(seed=1, size_wh=(320, 192))
    return tuple(camera.frame(index) for index in range(0, 60, 30))


def test_recall_and_precision_against_the_synthetic_truth(frames: tuple[Frame, ...]) -> None:
    table = truth_table(FixedPipeline(finds=True), FixedPipeline(finds=False), frames)
    lines = table.splitlines()
    assert "2 synthetic frames" in lines[0]
    assert lines[2].split() == ["baseline", "100.0%", "100.0%"]
    assert lines[3].split() == ["optimised", "0.0%", "0.0%"]


def test_a_model_that_knows_other_classes_is_not_judged(frames: tuple[Frame, ...]) -> None:
    other = FixedPipeline(finds=True, class_names=("dog",))
    assert truth_table(other, other, frames) == ""


@pytest.mark.parametrize("kind", ["pt", "yaml", "onnx"])
def test_defaults_exist_for_every_kind_of_weights(kind: str) -> None:
    known = variants_from_toml(default_variants_path(), model="toy")
    baseline = demo_command.default_baseline(known, kind)
    candidates = demo_command.default_candidates(known, kind, "cpu")
    assert baseline.role == "baseline"
    assert candidates
    assert candidates[0].precision != "int8"
    assert all(candidate.role == "optimised" for candidate in candidates)


def test_headless_measures_both_on_the_real_server(
    coco_repository: tuple[Path, dict[str, str]], test_data: Path
) -> None:
    repository, names = coco_repository
    pair = demo_command.Pair(baseline=names["torch_fp32_tensor"], optimised=names["onnx_fp32"], repository=repository)
    video = test_data / "videos" / "highway_cars_720p.mp4"
    tables = demo_command.compare_headless(pair, source=str(video), seconds=2.0)
    assert "baseline" in tables
    assert "optimised" in tables
    assert "P95" in tables
