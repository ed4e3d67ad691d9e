"""The embedded server's life: ready, asked, stopped, killed; nothing is left behind."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from photofinish.errors import ModelRepositoryError, ServerError
from photofinish.machine.started_program import StartedProgram
from photofinish.server.triton import process
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.asking import asking
from tests.server.backend.test_refusals import infer
from tests.server.models import config_text, random_frames, save_doubling_onnx, write_model

DEADLINE_S = 60.0


def save_toy(repository: Path) -> Path:
    save_doubling_onnx(write_model(repository, "toy", config_text("toy", "onnxruntime")))
    return repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return save_toy(tmp_path / "models")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s until {what}"
        time.sleep(0.05)


def server_processes(repository: Path) -> list[int]:
    """The supervisor, tritonserver and the models' processes: they name or write the log, beside the repository."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                output = str((entry / "fd/1").readlink())
            except OSError:
                continue
            if "photofinish-server-" in command and str(repository.parent) in command + output:
                found.append(int(entry.name))
    return found


def model_processes(repository: Path) -> list[int]:
    """Those that have a model; the bridge's spare waits for one."""
    programs = (b"triton_python_backend_stub", b"photofinish_backend/lane/process.py")
    return [
        pid
        for pid in server_processes(repository)
        if any(word.endswith(programs) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:3])
        and b"\0spare____" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.fixture(params=["bridge", "python backend"])
def has_bridge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways to run the engines; the second is for machines without a C++ compiler."""
    if request.param != "bridge":
        monkeypatch.setenv("PHOTOFINISH_BRIDGE", "off")
    return request.param == "bridge"


def shared_memory_of(pid: int) -> set[Path]:
    """Shared memory of servers that the process started; in this process also the toy server's."""
    return set(Path("/dev/shm").glob(f"photofinish_{pid}_*"))


@pytest.fixture
def shared_before() -> set[Path]:
    return shared_memory_of(os.getpid())


def test_ready_alive_and_gone(repository: Path, tmp_path: Path, shared_before: set[Path], has_bridge: bool) -> None:
    said: list[str] = []
    server = EmbeddedServer(repository, log_path=tmp_path / "logs/server.log", on_progress=said.append)
    with pytest.raises(ServerError, match="not running"):
        _ = server.endpoint
    with server:
        assert server.is_alive()
        assert Path(f"/proc/{server.endpoint.pid}").exists()
        assert server.endpoint.kind == ("embedded with bridge" if has_bridge else "embedded")
        assert len(model_processes(repository)) == 1
        assert (shared_memory_of(os.getpid()) > shared_before) is not has_bridge
        with asking(server.endpoint.grpc_url) as client:
            assert client.get_server_metadata().version == server.endpoint.version
    assert not server.is_alive()
    assert server_processes(repository) == []
    assert shared_memory_of(os.getpid()) == shared_before
    assert any("is loading toy" in line for line in said)
    assert "loaded toy (1 of 1)" in said
    assert "successfully unloaded 'toy'" in server.log_path.read_text(), "it is not ended before its models are"
    server.stop()
    with server:
        assert server.is_alive()


def test_only_the_asked_models_are_loaded(repository: Path, tmp_path: Path) -> None:
    save_doubling_onnx(write_model(repository, "other", config_text("other", "onnxruntime")))
    with (
        EmbeddedServer(repository, models=("other",), log_path=tmp_path / "log") as server,
        asking(server.endpoint.grpc_url) as client,
    ):
        assert client.is_model_ready("other")
        assert not client.is_model_ready("toy")
    with pytest.raises(ModelRepositoryError, match="has no model absent; it holds other, toy"):
        EmbeddedServer(repository, models=("absent",)).__enter__()


def test_addresses_are_loopback_only(toy_server: EmbeddedServer) -> None:
    at = toy_server.endpoint
    listening = listening_addresses(at.pid)
    urls = (at.grpc_url, at.http_url, at.metrics_url)
    assert {int(url.rpartition(":")[2]) for url in urls} == {port for _, port in listening}
    assert {address for address, _ in listening} == {"127.0.0.1"}


def listening_addresses(pid: int) -> list[tuple[str, int]]:
    return [
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_nobody_else_can_read_the_pictures(repository: Path, tmp_path: Path, has_bridge: bool) -> None:
    """The bridge's memory has no name; the Python backend's lies in /dev/shm."""
    before = shared_memory_of(os.getpid())
    with EmbeddedServer(repository, log_path=tmp_path / "log"):
        regions = shared_memory_of(os.getpid()) - before
        assert bool(regions) is not has_bridge
        assert all(path.stat().st_mode & 0o077 == 0 for path in regions)


def test_too_short_a_deadline_names_what_was_awaited(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"not ready within 0 s, still loading toy"):
        EmbeddedServer(repository, log_path=tmp_path / "log", ready_timeout_s=0.0).__enter__()
    assert server_processes(repository) == []


def test_scarce_shared_memory_is_named(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.server.triton.limits.free_bytes", lambda folder: 5 << 20)
    with pytest.raises(ServerError, match=r"/dev/shm had only 5\.0 MiB free: enlarge it"):
        EmbeddedServer(repository, log_path=tmp_path / "log", ready_timeout_s=0.0).__enter__()


def test_a_proxy_of_the_environment_is_not_asked(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with EmbeddedServer(repository, log_path=tmp_path / "log", ready_timeout_s=60) as server:
        assert server.is_alive()


@pytest.mark.parametrize("stage", ["filling the run folder", "waiting for the supervisor"])
def test_an_interrupted_start_leaves_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def interrupt(*arguments: object) -> str:
        raise KeyboardInterrupt

    class InterruptedProgram(StartedProgram):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            self.stdout.close()
            self.stdout = SimpleNamespace(readline=interrupt, close=lambda: None)

    monkeypatch.setattr(process.tempfile, "tempdir", str(tmp_path))
    if stage == "filling the run folder":
        monkeypatch.setattr(process, "fill_run_folder", interrupt)
    else:
        monkeypatch.setattr(process, "StartedProgram", InterruptedProgram)
    with pytest.raises(KeyboardInterrupt):
        EmbeddedServer(repository, log_path=tmp_path / "log").__enter__()
    assert server_processes(repository) == []
    assert not list(tmp_path.glob("photofinish-server-*"))


def test_unwritable_log(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"the log .* cannot be written"):
        EmbeddedServer(repository, log_path=tmp_path / "file" / "log").__enter__()


def test_nobody_can_send_a_model_with_code(toy_server: EmbeddedServer, tmp_path: Path) -> None:
    """A browser lets every page send such a request to this machine; the model's Python would run as this user."""
    written = tmp_path / "written"
    code = f"open({str(written)!r}, 'w')\nclass TritonPythonModel:\n    def execute(self, requests): return []\n"
    config = {
        "backend": "python",
        "input": [{"name": "a", "data_type": "TYPE_FP32", "dims": [1]}],
        "output": [{"name": "b", "data_type": "TYPE_FP32", "dims": [1]}],
        "instance_group": [{"kind": "KIND_CPU"}],
    }
    parameters = {"config": json.dumps(config), "file:1/model.py": base64.b64encode(code.encode()).decode()}
    request = urllib.request.Request(
        f"http://{toy_server.endpoint.http_url}/v2/repository/models/evil/load",
        data=json.dumps({"parameters": parameters}).encode(),
        headers={"Content-Type": "text/plain", "Origin": "http://page.example"},
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=DEADLINE_S)
    assert refusal.value.code >= 400
    assert not written.exists()
    with (
        asking(toy_server.endpoint.grpc_url) as client,
        pytest.raises(InferenceServerException, match="not allowed"),
    ):
        client.unload_model("doubling_onnx")


def test_a_crashed_model_leaves_nothing(
    repository: Path, tmp_path: Path, shared_before: set[Path], has_bridge: bool
) -> None:
    with (
        EmbeddedServer(repository, log_path=tmp_path / "log") as server,
        asking(server.endpoint.grpc_url) as client,
    ):
        (process,) = model_processes(repository)
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{process}/exe").exists(), "the process is dead")
        if has_bridge:
            wait_until(lambda: answers(client), "the model has a new process")
            assert process not in model_processes(repository)
        else:
            with pytest.raises(InferenceServerException):
                infer(client, "toy", frames=random_frames(0, 1))
        assert server.is_alive()
    assert server_processes(repository) == []
    assert shared_memory_of(os.getpid()) == shared_before


def answers(client: triton.InferenceServerClient) -> bool:
    frames = random_frames(1, 2)
    try:
        found = infer(client, "toy", frames=frames).as_numpy("detections")
    except InferenceServerException:
        return False
    np.testing.assert_array_equal(found, frames.astype(np.float32) * 2)
    return True


def test_killed_server_is_noticed_and_cleaned_up(repository: Path, tmp_path: Path, shared_before: set[Path]) -> None:
    with EmbeddedServer(repository, log_path=tmp_path / "log") as server:
        os.kill(server.endpoint.pid, signal.SIGKILL)
        assert server.wait(DEADLINE_S)
        assert not server.is_alive()
        assert server_processes(repository) == []
        assert shared_memory_of(os.getpid()) == shared_before


PARENT = """
import sys, time
from pathlib import Path
from photofinish.server.triton.embedded import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1]), log_path=Path(sys.argv[2])) as server:
    print(server.endpoint.pid, flush=True)
    for _ in range(600):  # a signal that comes on the way into one long sleep would wait for its end
        time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_its_parent(repository: Path, tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", PARENT, str(repository), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout
        assert int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(2 * DEADLINE_S)  # an orderly stop may wait for the server first
    wait_until(lambda: not server_processes(repository), "server and models are gone")
    wait_until(lambda: not shared_memory_of(parent.pid), "shared memory is gone")


def test_killed_supervisor_takes_the_server_along(repository: Path, tmp_path: Path, shared_before: set[Path]) -> None:
    with EmbeddedServer(repository, log_path=tmp_path / "log") as server:
        supervisor = int(Path(f"/proc/{server.endpoint.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not server.is_alive(), "the death is noticed")
        wait_until(lambda: not server_processes(repository), "server and models are gone")
    for left in shared_memory_of(os.getpid()) - shared_before:
        left.unlink()


def test_a_supervisor_that_is_ended_by_a_signal_says_so(repository: Path, tmp_path: Path) -> None:
    with EmbeddedServer(repository, log_path=tmp_path / "log") as server:
        supervisor = int(Path(f"/proc/{server.endpoint.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor, signal.SIGTERM)
        assert server.wait(DEADLINE_S)
        assert server.how_it_ended() == "its supervisor was ended by SIGTERM"
        assert server_processes(repository) == []


@contextmanager
def run_serve(repository: Path, *arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """One that does not end in time is made to show where it stands (SIGABRT), and ended."""
    command = [sys.executable, "-X", "faulthandler", "-m", "photofinish.cli", "serve"]
    with subprocess.Popen(
        [*command, "--repository", str(repository), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    ) as serve:
        try:
            yield serve
        finally:
            if serve.poll() is None:
                serve.send_signal(signal.SIGABRT)
                pytest.fail(f"it did not end: {serve.communicate(timeout=DEADLINE_S)[1]}")


ANY_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_prints_its_address_and_stops_cleanly(repository: Path, tmp_path: Path, number: int) -> None:
    with run_serve(repository, "--json", *ANY_PORTS, cwd=tmp_path) as serve:
        assert serve.stdout
        at = json.loads(serve.stdout.readline())
        with asking(at["grpc_url"]) as client:
            assert client.is_server_ready()
        serve.send_signal(number)
        rest, said = serve.communicate(timeout=DEADLINE_S)
    assert (serve.returncode, rest) == (0, "")
    assert "log: " in said
    assert "Traceback" not in said
    assert server_processes(repository) == []
    assert not shared_memory_of(serve.pid)


@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGKILL, "it was ended by SIGKILL"), (signal.SIGSTOP, "it was stopped (SIGSTOP) for 3 s")],
)
def test_serve_tells_when_its_server_dies(repository: Path, tmp_path: Path, number: int, how: str) -> None:
    with run_serve(repository, "--json", *ANY_PORTS, cwd=tmp_path) as serve:
        assert serve.stdout
        os.kill(json.loads(serve.stdout.readline())["pid"], number)
        _, said = serve.communicate(timeout=DEADLINE_S)
    assert serve.returncode == 1
    assert said.splitlines()[-1].startswith(f"photofinish: tritonserver ended by itself: {how}; see ")
    assert server_processes(repository) == []


def test_serve_says_which_port_is_taken(repository: Path, toy_server: EmbeddedServer, tmp_path: Path) -> None:
    port = toy_server.endpoint.grpc_url.rpartition(":")[2]
    with run_serve(repository, "--grpc-port", port, cwd=tmp_path) as serve:
        _, said = serve.communicate(timeout=DEADLINE_S)
    assert serve.returncode == 1
    assert said.splitlines()[-1].startswith(f"photofinish: port {port} on 127.0.0.1 cannot be used")
    assert "Traceback" not in said


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine may have a GPU")
def test_a_model_for_a_gpu_that_is_not_there_says_what_to_do(repository: Path) -> None:
    config = config_text("fast", "onnxruntime").replace("KIND_CPU", "KIND_GPU")
    save_doubling_onnx(write_model(repository, "fast", config))
    with pytest.raises(ModelRepositoryError, match=r"fast cannot be loaded: .*no GPUs are available\. .*\(--model"):
        EmbeddedServer(repository, log_path=repository.parent / "log").__enter__()
    assert not server_processes(repository)
