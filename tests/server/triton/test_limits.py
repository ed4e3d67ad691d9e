"""Few descriptors, little shared memory, and a log that somebody fills: said in words, and never a full disk."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from photofinish.errors import ServerError
from photofinish.server.triton import embedded, limits, log, supervisor
from photofinish.server.triton.embedded import EmbeddedServer
from photofinish.server.triton.log import ServerLog, read_end
from tests.server.asking import asking
from tests.server.backend.test_refusals import infer
from tests.server.models import config_text, random_frames, save_doubling_onnx, write_model

ACCEPT_FAILS = "[warn] Error from accept() call: Too many open files\n"
SERVE = (sys.executable, "-m", "photofinish.cli", "serve", "--json")
ANY_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    save_doubling_onnx(write_model(tmp_path / "models", "toy", config_text("toy", "onnxruntime")))
    return tmp_path / "models"


def limited(soft: int, hard: int, repository: Path) -> subprocess.Popen[str]:
    """`photofinish serve` that may have only so many files open."""
    return subprocess.Popen(
        [*SERVE, "--repository", str(repository), "--log", str(repository.parent / "log"), *ANY_PORTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )


def test_few_descriptors_are_made_more(repository: Path) -> None:
    """With 64 the log grew by 10 MB a second, and `serve` read all of it twenty times a second."""
    with limited(64, 4096, repository) as serve, ExitStack() as idle:
        assert serve.stdout
        at = json.loads(serve.stdout.readline())
        host, _, port = at["http_url"].rpartition(":")
        for _ in range(200):
            idle.enter_context(socket.create_connection((host, int(port))))
        frames = random_frames(3, 1)
        with asking(at["grpc_url"]) as client:
            assert (infer(client, "toy", frames=frames).as_numpy("detections") == frames * 2.0).all()
        serve.send_signal(signal.SIGINT)
        _, said = serve.communicate(timeout=60)
    assert serve.returncode == 0, said
    written = (repository.parent / "log").read_text()
    assert "Too many open files" not in written
    assert len(written) < 100_000


def test_too_low_a_hard_limit_is_refused(repository: Path) -> None:
    with limited(64, 128, repository) as serve:
        _, said = serve.communicate(timeout=60)
    assert serve.returncode == 1
    assert "may have 128 files open (`ulimit -Hn`), a server of 1 models needs 272; raise it: `ulimit -n" in said


@pytest.mark.parametrize(("hard", "asked"), [(4096, 4096), (1 << 30, 65536), (resource.RLIM_INFINITY, 65536)])
def test_no_more_descriptors_than_are_useful(hard: int, asked: int) -> None:
    assert limits.descriptors_for(3, lambda which: (64, hard)) == asked


def test_a_server_without_descriptors_ends_the_wait(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "is_ready", lambda url, timeout_s: False)
    monkeypatch.setattr(ServerLog, "read_on", lambda self: self._take_in(ACCEPT_FAILS))
    with pytest.raises(ServerError, match=r"can open no more files, still loading toy: close programs .*ulimit -n"):
        EmbeddedServer(repository, log_path=tmp_path / "log").__enter__()


def test_a_log_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    found = ServerLog(path)
    found.read_on()
    pieces = (
        "I1120 23:22:42 1 m.cc:1] \"successfully loaded 'one'\"\n",
        "[libprotobuf ERROR t.cc:3] Error parsing text-format inference.ModelConfig: 1:20: Expected string, got: x\n",
        "E1120 23:22:41 1 m.cc:2] \"Poll failed for model directory 'b': failed ",
        'to read b"\nI1120 23:22:42 1 m.cc:1] "successfully lo',
        "aded 'two'\"\n",
    )
    for piece in pieces:
        with path.open("a") as file:
            file.write(piece)
        found.read_on()
    assert found.loaded == ["one", "two"]
    assert found.unread == {"b": "failed to read b, 1:20: Expected string, got: x"}
    assert "Poll failed" in found.last_error
    assert not found.lacks_descriptors
    # One that grows by more than is read at once is read at its end, one that was cut from its beginning.
    monkeypatch.setattr(log, "READ_BYTES", 1000)
    with path.open("a") as file:
        file.write(ACCEPT_FAILS * 1000 + "I1120 23:22:42 1 m.cc:1] \"successfully loaded 'three'\"\n")
    found.read_on()
    assert found.loaded[-1] == "three"
    assert found.lacks_descriptors
    path.write_text("I1120 23:22:42 1 m.cc:1] \"successfully loaded 'four'\"\n")
    found.read_on()
    assert found.loaded[-1] == "four"
    assert len(read_end(path)) < 1000
    assert read_end(tmp_path / "none") == ""


def test_a_log_that_grows_too_long_loses_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(supervisor, "KEPT_LOG_BYTES", 100)
    path = tmp_path / "log"
    supervisor.shorten_log(path)
    with path.open("ab", buffering=0) as server:
        for size, is_cut in ((1000, False), (3_000_000, True), (600, False)):
            server.write(b"x" * size)
            before = path.stat().st_size
            supervisor.shorten_log(path)
            assert (path.stat().st_size < before) is is_cut
            assert path.stat().st_size <= 1000
        server.write(b"the end")
    assert path.read_bytes().endswith(b"xthe end")
    assert b"[2 MiB of this log were left out here" in path.read_bytes()


IN_A_FULL_NAMESPACE = "mount -t tmpfs -o size=64k tmpfs /dev/shm && exec timeout 60 {python} -c '{program}' {folder}"
SERVE_AND_ASK = """
import sys
from pathlib import Path
import numpy as np
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.models import save_mean
folder = Path(sys.argv[1])
save_mean(folder / "models", "mean")
with EmbeddedServer(folder / "models", log_path=folder / "log") as server:
    url = server.endpoint.grpc_url
    with TritonClient(url) as client:
        model = client.model("mean")
    with Session(url, model, slots=1, batch_size=8, on_notice=print) as session:
        for turn in range(5):
            slot = session.acquire()
            slot.input_array[:] = turn
            assert (session.infer(slot)[:, 0] == turn).all()
            session.release(slot)
        print("by", session.transport)
"""


def test_a_full_dev_shm_costs_no_answer(tmp_path: Path) -> None:
    """The memory of bridge and models has no name there; a client's pictures go by gRPC, and that is said."""
    in_namespace = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*in_namespace, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no mount of one's own (unshare), in which /dev/shm could be filled")
    line = IN_A_FULL_NAMESPACE.format(python=sys.executable, program=SERVE_AND_ASK, folder=tmp_path)
    done = subprocess.run([*in_namespace, "sh", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "by grpc"
    assert "No space left on device" in done.stdout
