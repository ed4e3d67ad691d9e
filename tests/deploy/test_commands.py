"""The commands of docker-compose.yml, run here one after the other as `docker compose up` runs them.

Each command line is taken from the parsed file. Only what a container would be given is put in its place: mount
points become folders, service names and ports become loopback addresses, and Triton is the embedded server's binary.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photofinish.client.cameras.streams.process import StreamPlan
from photofinish.server.triton.files import find_triton
from photofinish.server.triton.ports import choose_ports
from photofinish.server.triton.run_folder import fill_run_folder, server_environment
from tests.deploy.compose import CHECKOUT, compose_document
from tests.deploy.toy import toy_weights

pytestmark = pytest.mark.timeout(1200)
CONTAINER = CHECKOUT / "server" / "container"


def command_of(service: str, places: dict[str, str], environment: dict[str, str] | None = None) -> list[str]:
    """The service's command line with each of `places` put in."""
    command = compose_document(environment)["services"][service]["command"]
    line = []
    for argument in command:
        for found, put in places.items():
            argument = argument.replace(found, put)
        line.append(argument)
    return line


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], timeout_s: float = 300) -> None:
    """Until the condition holds; fails when the process ends before."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        said = process.stderr.read() if process.poll() is not None and process.stderr else ""
        assert process.poll() is None, f"ended with {process.returncode}: {said}"
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def is_healthy(check: list[str]) -> bool:
    """Whether the health check's command succeeds."""
    try:
        return subprocess.run(check, capture_output=True, timeout=60, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def answer_of(url: str) -> str:
    """The page's text, "" while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            text: str = response.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return ""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the export job left in its volume."""
    data = tmp_path_factory.mktemp("data")
    toy_weights(data / "toy.onnx")
    models = tmp_path_factory.mktemp("models")
    work = tmp_path_factory.mktemp("work")
    places = {"fill_repository": str(CONTAINER / "fill_repository.sh"), "/models": str(models), "/data": str(data)}
    # The one argument of our own: a gate over 8 frames decides as one over 120 does, with these weights.
    line = [*command_of("export", places, {"WEIGHTS": "/data/toy.onnx"}), "--gate-frames", "8"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (work / "variants.toml").write_text((CHECKOUT / "variants.toml").read_text(encoding="utf-8"), encoding="utf-8")
    job = subprocess.run(line, cwd=work, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert job.returncode == 0, job.stderr
    return models


@pytest.fixture(scope="module")
def triton(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The triton service's command on that repository; the addresses it answers at, by service address."""
    files = find_triton(lambda line: None)
    run_folder = tmp_path_factory.mktemp("triton")
    fill_run_folder(run_folder, files, repository, ())
    environment = server_environment(run_folder, files, os.environ)
    environment |= {"PATH": f"{files.binary.parent}:{environment['PATH']}", "MODEL_REPOSITORY": str(repository)}
    ports = choose_ports(grpc=0, http=0, metrics=0)
    line = command_of("triton", {"/start_triton.sh": str(CONTAINER / "start_triton.sh")})
    line += [f"--backend-directory={run_folder / 'backends'}"]
    for kind in ("http", "grpc", "metrics"):
        line += [f"--{kind}-address=127.0.0.1", f"--{kind}-port={getattr(ports, kind)}"]
    with (run_folder / "log").open("w") as log:
        process = subprocess.Popen(line, env=environment, stdout=log, stderr=log, text=True)
        try:
            health = compose_document()["services"]["triton"]["healthcheck"]["test"]
            check = [part.replace(":8000", f":{ports.http}") for part in health[1:]]
            wait_for(lambda: is_healthy(check), process)
            yield {"triton:8001": f"127.0.0.1:{ports.grpc}", "triton:8002": f"127.0.0.1:{ports.metrics}"}
        finally:
            process.terminate()
            process.wait(30)


def test_export_job_fills_the_repository(repository: Path) -> None:
    names = {path.name for path in repository.iterdir()}
    assert {"toy_onnx_fp32_tensor", "toy_onnx_fp32", "toy_onnx_fp16"} <= names


def test_export_job_fails_when_the_export_does(tmp_path: Path) -> None:
    line = [str(CONTAINER / "fill_repository.sh"), "--weights", "/nowhere.onnx", "--repository", str(tmp_path)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    job = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert job.returncode == 1
    assert "nowhere.onnx" in job.stderr


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (1, 1), (2, 2), (3, 0)])
def test_only_a_refused_variant_is_forgiven(tmp_path: Path, status: int, expected: int) -> None:
    command = tmp_path / "photofinish"
    command.write_text(f"#!/bin/sh\nexit {status}\n", encoding="utf-8")
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    job = subprocess.run([str(CONTAINER / "fill_repository.sh")], env=environment, timeout=10, check=False)
    assert job.returncode == expected


def test_triton_serves_what_was_exported_and_prometheus_can_scrape_it(triton: dict[str, str]) -> None:
    metrics = answer_of(f"http://{triton['triton:8002']}/metrics")
    assert 'nv_inference_count{model="toy_onnx_fp32"' in metrics
    assert "nv_inference_request_summary_us" in metrics


def test_split_view_runs_against_triton_with_metrics_of_its_own(triton: dict[str, str], tmp_path: Path) -> None:
    page, metrics = choose_ports(grpc=0, http=0, metrics=0).http, choose_ports(grpc=0, http=0, metrics=0).metrics
    places = {**triton, "0.0.0.0": "127.0.0.1", "--port=7860": f"--port={page}"}
    places["--metrics-port=9108"] = f"--metrics-port={metrics}"
    line = [str(Path(sys.executable).parent / "photofinish"), *command_of("ui", places)[1:]]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: "<html" in answer_of(f"http://127.0.0.1:{page}/"), process)
        wait_for(
            lambda: 'photofinish_frames_total{side="optimised"' in answer_of(f"http://127.0.0.1:{metrics}/metrics"),
            process,
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode in (0, 130), errors


def test_cameras_run_their_list_against_triton(triton: dict[str, str], tmp_path: Path) -> None:
    plan = StreamPlan(first=1, count=1, size_wh=(128, 96), frames_per_s=5.0, seconds=2.0)
    words = [sys.executable, "-m", "photofinish.client.cameras.streams.process", plan.to_text()]
    streams = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    status = choose_ports(grpc=0, http=0, metrics=0).metrics
    places = {**triton, "0.0.0.0": "127.0.0.1", "/cameras/": f"{tmp_path}/", ":7870": f":{status}"}
    places |= {"--status-port=7870": f"--status-port={status}", "--port=7860": "--port=0"}
    line = [str(Path(sys.executable).parent / "photofinish"), *command_of("cameras", places)[1:]]
    try:
        assert streams.stdout is not None
        port = json.loads(streams.stdout.readline())["port"]
        row = f'[[camera]]\nname = "gate"\nurl = "rtsp://127.0.0.1:{port}/test-001"\n'
        (tmp_path / "cameras.toml").write_text(row, encoding="utf-8")
        process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            health = compose_document()["services"]["cameras"]["healthcheck"]["test"][1:]
            check = [part.replace(":7870", f":{status}") for part in health]
            inferred = re.compile(r'photofinish_camera_frames_inferred_total\{camera="gate"\} [1-9]')
            wait_for(lambda: bool(inferred.search(answer_of(f"http://127.0.0.1:{status}/metrics"))), process)
            assert is_healthy(check)
            assert answer_of(f"http://127.0.0.1:{status}/readyz") == "ok\n"
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
    finally:
        streams.kill()
        streams.wait()
    assert process.returncode == 0, errors
    assert "frames due =" in errors
