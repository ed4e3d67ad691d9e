"""The commands as a user starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from photofinish.errors import ConfigError
from tests.builders import build_card
from tests.client.fake_triton import FakeModel, FakeTriton, wait_for
from tests.client.ui.served import BASELINE, OPTIMISED, toy_models


@pytest.fixture(scope="module")
def served() -> Iterator[FakeTriton]:
    with FakeTriton(*toy_models()) as server:
        yield server


@contextmanager
def photofinish(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which does not outlive a test that fails."""
    with subprocess.Popen(
        [sys.executable, "-m", "photofinish.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_photofinish(*arguments: str, folder: Path) -> tuple[int, str, str]:
    with photofinish(*arguments, folder=folder) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_everything(served: FakeTriton, tmp_path: Path, number: signal.Signals) -> None:
    shared_before = set(Path("/dev/shm").iterdir())
    source = "synthetic?width=320&height=180"
    with photofinish("ui", "--url", served.url, "--port", "0", "--source", source, folder=tmp_path) as process:
        assert process.stderr is not None
        url = process.stderr.readline().rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), url
        with urllib.request.urlopen(f"{url}/view/state", timeout=60) as answer:
            assert answer.status == 200
        wait_for(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 4, 60)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in err
        assert err.count("stopping;") == 1
        wait_for(lambda: not any(member.is_running() for member in family), 60)
        assert {path for path in Path("/dev/shm").iterdir() if str(process.pid) in path.name} <= shared_before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "127.0.0.1:1"), "127.0.0.1:1"),
        (("--url", "nonsense"), "host:port"),
        (("--optimised", "trt_fp16"), "unknown variant trt_fp16"),
        (("--host", "203.0.113.9"), "cannot listen on 203.0.113.9"),
    ],
)
def test_a_wrong_argument_is_one_line(
    served: FakeTriton, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run_photofinish("ui", "--url", served.url, *arguments, folder=tmp_path)
    assert code == 1
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("photofinish: ")
    assert said in lines[0]


def test_a_taken_port_is_one_line(served: FakeTriton, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, _, err = run_photofinish("ui", "--url", served.url, "--port", str(port), folder=tmp_path)
    assert code == 1
    assert err == f"photofinish: port {port} is taken; give another with --port, or none to take the next free one\n"


def test_the_two_sides_start_with_the_same_weights() -> None:
    from photofinish.client.ui.page.choosing import choice_from_server

    told: list[str] = []
    card = build_card(model="other", weights_sha256="1" * 64)
    with FakeTriton(*toy_models(), FakeModel(name="other_onnx_fp32", card=card)) as served:
        choice = choice_from_server(served.url, source="synthetic", on_notice=told.append)
        assert (choice.baseline, choice.optimised) == (BASELINE, OPTIMISED)
        assert len(told) == 1
        assert "there is also other (" in told[0]
        assert choice_from_server(served.url, source="0", optimised="toy_onnx_fp32").optimised == OPTIMISED
        with pytest.raises(ConfigError, match=r"not one network: other_onnx_fp32 of other .* of toy"):
            choice_from_server(served.url, source="0", baseline=BASELINE, optimised="other_onnx_fp32")
        assert choice_from_server(served.url, source="0", model="other").optimised == "other_onnx_fp32"


def test_a_rectangular_input_is_chosen_for_pictures_of_its_shape() -> None:
    from photofinish.client.choosing.preference import candidates
    from photofinish.client.ui.page.choosing import frame_size

    cards = {
        "square": build_card(input_wh=(640, 640)),
        "rect": build_card(input_wh=(640, 384)),
        "slow": build_card(backend="pytorch", input_wh=(640, 640)),
    }
    assert candidates(cards, frame_wh=(1920, 1080)) == ["rect", "square", "slow"]
    assert candidates(cards, frame_wh=(640, 480)) == candidates(cards) == ["square", "slow", "rect"]
    assert frame_size("synthetic") == (1280, 720)
    assert frame_size("no such file.mp4") is None


@pytest.mark.parametrize(
    ("source", "pace", "is_paced"),
    [
        ("synthetic", "free", False),
        ("synthetic", "camera", True),
        ("0", "free", True),
        ("/dev/video0", "free", True),
        ("rtsp://camera/1", "free", True),
        (__file__, "free", False),
    ],
)
def test_cameras_and_streams_set_the_pace(source: str, pace: str, is_paced: bool) -> None:
    from photofinish.client.ui.page.split_view import Choice

    assert Choice(source=source, baseline="a", optimised="b", pace=pace).is_paced is is_paced  # type: ignore[arg-type]


def test_a_link_that_cannot_be_had_is_one_line(served: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import networking

    from photofinish.client.ui.page.app import Hosting, serve_view
    from photofinish.client.ui.page.split_view import Choice
    from photofinish.errors import ServerError

    def no_internet(*arguments: object) -> str:
        raise RuntimeError("Could not get share link from Gradio API Server.")

    monkeypatch.setattr(networking, "setup_tunnel", no_internet)
    choice = Choice(source="synthetic", baseline=BASELINE, optimised=OPTIMISED)
    with (
        pytest.raises(ServerError, match="Run without --share"),
        serve_view(served.url, choice, Hosting(port=0, share=True)),
    ):
        pass
