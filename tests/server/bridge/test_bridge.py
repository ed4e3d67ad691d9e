"""The bridge between Triton and the model processes: its memory, its paths for pictures, and machines without it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from photofinish.client.triton.regions import SystemRegion
from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import GRPC, SYSTEM_SHM, SYSTEM_SHM_HTTP, Transport
from photofinish.server.backend.lane import layout as lane
from photofinish.server.backend.model import RefusedModelError
from photofinish.server.bridge import build as bridge_build
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.backend.test_batches import build_model
from tests.server.models import save_mean

HEADER = (bridge_build.SOURCES / "lane.h").read_text()


def test_both_ends_of_the_lane_see_the_same_bytes() -> None:
    sizes = dict(re.findall(r"sizeof\((\w+)\) == (\d+)", HEADER))
    assert ctypes.sizeof(lane.Tensor) == int(sizes["Tensor"])
    assert ctypes.sizeof(lane.Request) == int(sizes["Request"])
    assert ctypes.sizeof(lane.SlotHead) == int(sizes["Slot"])
    assert ctypes.sizeof(lane.LaneHead) == 4096 + 2 * 256 * 2048
    assert f"kMaxSlots = {lane.MAX_SLOTS};" in HEADER
    structures = {"Tensor": lane.Tensor, "Request": lane.Request, "Slot": lane.SlotHead, "Lane": lane.LaneHead}
    for name, structure in structures.items():
        body = re.search(rf"struct {name} {{(.*?)}};", HEADER, re.DOTALL)
        assert body is not None
        fields = re.findall(r"^  \w+ (\w+)(?:\[[^]]+\])?;", body[1], re.MULTILINE)
        assert fields == [name for name, *_ in structure._fields_]


def test_a_models_lane_has_room_for_its_largest_batch() -> None:
    sizes = lane.lane_sizes(build_model())
    assert sizes.staging >= 8 * 6
    assert sizes.output_offset == sizes.staging_offset + sizes.staging
    assert sizes.total - sizes.output_offset >= 8 * 16
    two = lane.lane_sizes(build_model(), 2)
    assert (two.stride, two.total) == (sizes.total - sizes.staging_offset, sizes.total + sizes.stride)
    many = build_model(inputs=build_model().inputs * 9)
    with pytest.raises(RefusedModelError, match="9 inputs"):
        lane.lane_sizes(many)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("bridge")
    save_mean(folder / "models", "mean", instances=2)
    with EmbeddedServer(folder / "models", log_path=folder / "log") as running:
        yield running


def region_mappings(server: EmbeddedServer) -> int:
    """Regions of clients that the server's model processes have mapped."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "status").read_text()
            if f"PPid:\t{server.endpoint.pid}\n" in status:
                count += (entry / "maps").read_text().count("photofinish-region-")
        except OSError:
            continue
    return count


def ask(url: str, session: Session, seed: int) -> bool:
    pictures = np.random.default_rng(seed).integers(0, 256, session_shape(session), dtype=np.uint8)
    slot = session.acquire()
    slot.input_array[: len(pictures)] = pictures
    found = session.infer(slot, len(pictures))
    session.release(slot)
    return np.allclose(found[:, 0, :3], pictures.mean((1, 2)), atol=0.01)


def session_shape(session: Session) -> tuple[int, ...]:
    return (session.batch_size, 64, 64, 3)


@pytest.mark.parametrize("transport", [SYSTEM_SHM_HTTP, SYSTEM_SHM, GRPC])
def test_every_way_brings_the_right_picture(server: EmbeddedServer, transport: Transport) -> None:
    url = server.endpoint.grpc_url
    with TritonClient(url) as client:
        model = client.model("mean")

    def work(index: int) -> bool:
        with Session(url, model, transport=transport, slots=1, batch_size=1 + index % 3) as session:
            return all(ask(url, session, 100 * index + turn) for turn in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_an_engine_reads_a_clients_memory_itself_and_lets_go_of_it(server: EmbeddedServer) -> None:
    url = server.endpoint.grpc_url
    with TritonClient(url) as client:
        model = client.model("mean")
    with Session(url, model, transport=SYSTEM_SHM_HTTP, slots=1) as session:
        assert all(ask(url, session, turn) for turn in range(10))
        assert region_mappings(server) >= 1
    deadline = time.monotonic() + 60
    while region_mappings(server):  # nobody asks anything meanwhile
        assert time.monotonic() < deadline, "the engines keep the memory of a client that is gone"
        time.sleep(0.2)


def mislead(monkeypatch: pytest.MonkeyPatch, direct: str) -> None:
    """Clients name another place than their region's."""
    genuine = SystemRegion.__init__

    def misled(self: SystemRegion, *args: object, **options: object) -> None:
        genuine(self, *args, **options)
        self.direct = direct

    monkeypatch.setattr(SystemRegion, "__init__", misled)


@pytest.mark.parametrize("wrong", ["1/2/3", "nonsense", "", "999999999/0/1"])
def test_a_region_that_cannot_be_had_goes_the_usual_way(
    server: EmbeddedServer, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another container's process number, or a client that makes things up."""
    url = server.endpoint.grpc_url
    with TritonClient(url) as client:
        model = client.model("mean")
    mislead(monkeypatch, wrong)
    with Session(url, model, transport=SYSTEM_SHM_HTTP, slots=1) as session:
        assert all(ask(url, session, turn) for turn in range(5))
        assert region_mappings(server) == 0
    assert "pictures are copied once" in server.log_path.read_text()


def test_no_other_file_is_read_for_a_client(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.endpoint.grpc_url
    with TritonClient(url) as client:
        model = client.model("mean")
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xff" * 64 * 64 * 3)
    with secret.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a client locks its region
        mislead(monkeypatch, f"{os.getpid()}/{file.fileno()}/{os.fstat(file.fileno()).st_ino}")
        with Session(url, model, transport=SYSTEM_SHM_HTTP, slots=1) as session:
            assert ask(url, session, 3), "the picture was read from another file"


def test_both_ends_may_look_for_each_other_instead_of_sleeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on machines with cores to spare; executions of very different length follow each other."""
    monkeypatch.setenv("PHOTOFINISH_CORES_TO_LOOK", "1")
    save_mean(tmp_path / "models", "mean")
    with EmbeddedServer(tmp_path / "models", log_path=tmp_path / "log") as running:
        url = running.endpoint.grpc_url
        with TritonClient(url) as client:
            model = client.model("mean")

        def work(index: int) -> bool:
            with Session(url, model, transport=SYSTEM_SHM_HTTP, slots=1, batch_size=1 + 7 * (index % 2)) as session:
                return all(ask(url, session, 100 * index + turn) for turn in range(100))

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(4)))
        begun = time.monotonic()
        assert work(0)
        assert time.monotonic() - begun < 5, "short executions wait as long as the long ones before them"


def test_without_a_compiler_the_python_backend_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_build, "find_compiler", lambda: None)
    save_mean(tmp_path / "models", "mean")
    said: list[str] = []
    with EmbeddedServer(tmp_path / "models", log_path=tmp_path / "log", on_progress=said.append) as running:
        assert any("apt install g++" in line for line in said)
        url = running.endpoint.grpc_url
        with TritonClient(url) as client:
            model = client.model("mean")
        with Session(url, model, transport=SYSTEM_SHM_HTTP, slots=1) as session:
            assert ask(url, session, 1)


def test_a_compiler_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path))
    (tmp_path / "c++").write_text("#!/bin/sh\necho 'fatal error: no headers here' >&2\nexit 1\n")
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    said: list[str] = []
    assert bridge_build.bridge_library(said.append) is None
    assert any("fatal error: no headers here" in line for line in said)
    assert not list(tmp_path.rglob("*.so"))


def test_the_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path))
    said: list[str] = []
    first = bridge_build.bridge_library(said.append)
    assert first is not None
    made_ns = first.stat().st_mtime_ns
    assert bridge_build.bridge_library(said.append) == first
    assert first.stat().st_mtime_ns == made_ns
    assert len(said) == 1
