"""The demo's own decisions, and its headless run on the real server."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.ui.page.app import Hosting
from photofinish.client.ui.page.split_view import Choice
from photofinish.detections import empty_detections
from photofinish.errors import ConfigError, VerdictError
from photofinish.flows import demo, view
from photofinish.flows.demo import NO_GAIN, SOME_GAINS, compare_headless
from photofinish.flows.demo_choice import default_baseline, default_candidates, is_calibrated, pair_in_repository
from photofinish.flows.demo_truth import truth_table
from photofinish.flows.view import Pair, show_pair
from photofinish.frame import Frame
from photofinish.server.triton.embedded import ServerEndpoint
from photofinish.synthetic import CLASS_NAMES, SyntheticCamera
from photofinish.variant import default_variants_path, variants_from_toml
from tests.builders import build_card
from tests.client.fake_triton import FakeTriton, wait_for
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models
from tests.perf.toy_repository import write_toy_repository


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
    baseline = default_baseline(known, kind)
    candidates = default_candidates(known, kind, "cpu")
    assert baseline.role == "baseline"
    assert candidates
    assert candidates[0].precision != "int8"
    assert all(candidate.role == "optimised" for candidate in candidates)


def test_int8_leads_on_a_cpu_where_it_needs_no_calibration_of_the_user() -> None:
    known = variants_from_toml(default_variants_path(), model="toy")
    on_cpu = default_candidates(known, "pt", "cpu", is_calibrated=True)
    # Processors with BF16 run that faster still.
    assert next(item for item in on_cpu if item.precision != "bf16").name == "toy_openvino_int8"
    for candidates in (
        default_candidates(known, "pt", "cpu"),
        default_candidates(known, "pt", "cuda", is_calibrated=True),
    ):
        assert not {item.precision for item in candidates} & {"int8", "fp8"}


def test_a_rectangular_input_leads_where_the_camera_has_its_shape() -> None:
    known = variants_from_toml(default_variants_path(), model="toy")

    def first(kind: str, frame_wh: tuple[int, int] | None, device: str = "cpu") -> str:
        found = default_candidates(known, kind, device, is_calibrated=device == "cpu", frame_wh=frame_wh)
        return next(item.suffix for item in found if item.precision != "bf16" and item.backend != "tensorrt")

    assert first("pt", (1920, 1080)) == "openvino_int8_rect"
    assert first("pt", (1280, 720), "cuda") == "onnx_fp16_rect"
    assert first("pt", (640, 480)) == first("pt", None) == first("onnx", (1920, 1080)) == "openvino_int8"
    assert first("torchvision", (1920, 1080)) == "openvino_int8"


@pytest.mark.parametrize(
    ("weights", "kind", "expected"), [("demo", "pt", True), ("demo", "yaml", False), ("best.pt", "pt", False)]
)
def test_only_the_demo_detector_is_calibrated_on_the_synthetic_camera(weights: str, kind: str, expected: bool) -> None:
    assert is_calibrated(weights, kind) is expected


class ReplacedServer:
    """Stands for the embedded server in front of a fake Triton; the first one ends by itself."""

    def __init__(self, url: str, *, ends_after_s: float) -> None:
        self.endpoint = ServerEndpoint(
            grpc_url=url, http_url="127.0.0.1:1", metrics_url="127.0.0.1:1", pid=0, kind="embedded"
        )
        self._ends_at = time.monotonic() + ends_after_s

    def __enter__(self) -> ReplacedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def stop(self) -> None:
        pass

    def is_alive(self) -> bool:
        return time.monotonic() < self._ends_at

    def how_it_ended(self) -> str:
        return "it was ended by SIGKILL"


def test_a_server_that_ended_is_started_again_and_one_signal_stops_the_demo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setattr(view, "tell", told.append)
    with FakeTriton(*toy_models()) as fake:
        servers = iter([ReplacedServer(fake.url, ends_after_s=0), ReplacedServer(fake.url, ends_after_s=600)])
        monkeypatch.setattr(view, "server_of", lambda pair, at=None, on_progress=None, cores=None: next(servers))

        def interrupt() -> None:
            wait_for(lambda: any("starting it again" in line for line in told), 60)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        source = "synthetic?width=320&height=180"
        choice = Choice(source=source, baseline=BASELINE, optimised=OPTIMISED)
        show_pair(Pair(baseline=BASELINE, optimised=OPTIMISED, repository=tmp_path), choice, Hosting(port=0))
        thread.join()
    assert told[0].startswith("Split view: http://127.0.0.1:")
    assert told[-1] == "The server ended by itself: it was ended by SIGKILL; starting it again (1 of 3)"


def test_a_model_that_is_published_is_shown_as_it_is(tmp_path: Path) -> None:
    write_toy_repository(tmp_path, published_ns=1)
    write_toy_repository(tmp_path, model="other", weights="other.pt", weights_sha256="ef" * 32, published_ns=2)
    sides = {"baseline": None, "optimised": None, "frame_wh": (1280, 720)}
    assert pair_in_repository(tmp_path, "toy", **sides) == ("toy_torch_fp32_tensor", "toy_onnx_fp32")
    assert pair_in_repository(tmp_path, "other", **sides) == ("other_torch_fp32_tensor", "other_onnx_fp32")
    with pytest.raises(ConfigError, match=r"unknown model wrong; .* has other \(.*, toy \("):
        pair_in_repository(tmp_path, "wrong", **sides)
    with pytest.raises(ConfigError, match="unknown variant other_onnx_fp32"):
        pair_in_repository(tmp_path, "toy", **{**sides, "optimised": "other_onnx_fp32"})
    shutil.rmtree(tmp_path / "toy_onnx_fp32")
    with pytest.raises(ConfigError, match="toy has toy_torch_fp32_tensor alone"):
        pair_in_repository(tmp_path, "toy", **sides)


@pytest.mark.parametrize("doubt", [NO_GAIN, SOME_GAINS, ""])
def test_headless_ends_with_3_and_grey_where_no_gain_may_be_claimed(
    doubt: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = Pair(baseline=BASELINE, optimised=OPTIMISED, repository=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "publish_pair", lambda request, **options: pair)
    monkeypatch.setattr(demo, "compare_headless", lambda pair, **options: ("the table", doubt))
    told = CliRunner().invoke(cli, ["demo", "--headless"], color=True)
    assert isinstance(told.exception, VerdictError) is bool(doubt)
    assert ("\x1b[2mthe table" in told.output) is (doubt == NO_GAIN)
    if doubt:
        assert str(told.exception).startswith(f"{doubt}: do what stands under the table")
        assert VerdictError.exit_code == 3


def test_headless_measures_both_on_the_real_server(
    coco_repository: tuple[Path, dict[str, str]], test_data: Path
) -> None:
    repository, names = coco_repository
    pair = Pair(baseline=names["torch_fp32_tensor"], optimised=names["onnx_fp32"], repository=repository)
    video = test_data / "videos" / "highway_cars_720p.mp4"
    tables, doubt = compare_headless(pair, source=str(video), seconds=2.0)
    assert ("do not quote it" in tables) is bool(doubt), "a busy machine voids the gains, and says why"
    assert "baseline" in tables
    assert "optimised" in tables
    assert "P95" in tables
