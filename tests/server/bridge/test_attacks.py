"""What a client of the same machine does to others with its shared memory: nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from photofinish.errors import InferenceError
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.bridge.attacker import (
    PICTURE_BYTES,
    HonestClient,
    OwnFile,
    infer,
    mapped_regions,
    means,
    open_regions,
    pictures,
    post,
    processes_of,
    registered,
    shrinking,
)
from tests.server.models import save_mean

SECONDS = 6.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("attacked")
    for model in ("mean", "other"):
        save_mean(folder / "models", model, waits_us=500)  # hundreds of requests, one after the other
    with EmbeddedServer(folder / "models", log_path=folder / "log") as server:
        yield server


@pytest.fixture
def server(running: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The server; after the test the same processes must serve an honest client."""
    before = processes_of(running)
    with HonestClient(running) as honest:
        assert honest.is_answered_rightly()
        yield running
        assert honest.is_answered_rightly()
    with HonestClient(running, model="other") as honest:
        assert honest.is_answered_rightly()
    assert before <= processes_of(running), "a process has ended"  # a spare one may have come


def test_a_pipe_in_a_regions_place(server: EmbeddedServer) -> None:
    with OwnFile(PICTURE_BYTES) as file, registered(server, file, PICTURE_BYTES) as region:
        frames = pictures(1)
        file.write(frames)
        os.mkfifo(path := file.path.with_name(f"{file.name}-pipe"))
        try:
            pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            direct = f"{os.getpid()}/{pipe}/{os.fstat(pipe).st_ino}/{path.name}"
            begun = time.monotonic()
            status, found = infer(server, region, direct=direct)
            os.close(pipe)
        finally:
            path.unlink()
        assert status == 200
        assert np.allclose(found, means(frames), atol=0.01)
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize("left", [0, 1, PICTURE_BYTES])
@pytest.mark.parametrize("is_direct", [True, False])
def test_a_region_that_was_shrunk_is_named_to_another_model(server: EmbeddedServer, left: int, is_direct: bool) -> None:
    with OwnFile(4 * PICTURE_BYTES) as file, registered(server, file, 4 * PICTURE_BYTES) as region:
        frames = pictures(2, 4)
        file.write(frames)
        direct = file.direct if is_direct else ""
        status, found = infer(server, region, direct=direct, rows=4)
        assert status == 200
        assert np.allclose(found, means(frames), atol=0.01)
        file.resize(left)
        for model in ("other", "mean", "other"):
            status, text = infer(server, region, direct=direct, rows=4, model=model)
            assert status == 400, (model, status, text)
            assert "shared memory that is shorter than the request says" in text


def test_an_empty_region(server: EmbeddedServer) -> None:
    with OwnFile(PICTURE_BYTES) as file, registered(server, file, PICTURE_BYTES) as region:
        direct = file.direct
        file.resize(0)
        for rows in (0, 1):
            status, text = infer(server, region, direct=direct, rows=rows)
            assert status in (400, 500), (rows, status, text)


def test_a_request_without_a_picture_is_refused_in_words(server: EmbeddedServer) -> None:
    with OwnFile(PICTURE_BYTES) as file, registered(server, file, PICTURE_BYTES) as region:
        status, text = infer(server, region, direct=file.direct, rows=0)
        assert status != 200
        assert text


@pytest.mark.parametrize("is_direct", [True, False])
def test_a_requests_offset_counts(server: EmbeddedServer, is_direct: bool) -> None:
    frames = pictures(3, 4)
    with OwnFile(4 * PICTURE_BYTES) as file, registered(server, file, 4 * PICTURE_BYTES) as region:
        file.write(frames)
        for number in (2, 0, 3):
            direct = file.direct if is_direct else ""
            status, found = infer(server, region, direct=direct, offset=number * PICTURE_BYTES)
            assert status == 200
            np.testing.assert_allclose(found, means(frames[number : number + 1]), atol=0.01)
        # Odd ones, too, and the offset of what Triton has mapped.
        status, found = infer(server, region, direct=file.direct, offset=3)
        shifted = np.frombuffer(frames.tobytes()[3 : 3 + PICTURE_BYTES], np.uint8).reshape(1, 64, 64, 3)
        assert status == 200
        np.testing.assert_allclose(found, means(shifted), atol=0.01)
    # Triton 2.51 has its own mind about the offset of a registration; whatever it says is what is read.
    with (
        OwnFile(4 * PICTURE_BYTES) as file,
        registered(server, file, 2 * PICTURE_BYTES, offset=PICTURE_BYTES) as region,
    ):
        file.write(frames)
        found = [infer(server, region, direct=direct, offset=PICTURE_BYTES) for direct in ("", file.direct)]
        assert found[0][0] == found[1][0] == 200
        np.testing.assert_array_equal(found[0][1], found[1][1])


def test_the_parameter_does_not_exchange_the_requests_memory(server: EmbeddedServer) -> None:
    frames = pictures(4, 2)
    with OwnFile(PICTURE_BYTES) as one, OwnFile(PICTURE_BYTES) as two:
        one.write(frames[:1])
        two.write(frames[1:])
        with registered(server, one, PICTURE_BYTES), registered(server, two, PICTURE_BYTES) as region:
            status, found = infer(server, region, direct=one.direct)
    assert status == 200
    np.testing.assert_allclose(found, means(frames[1:]), atol=0.01)


def test_other_spellings_cost_no_descriptors(server: EmbeddedServer) -> None:
    with OwnFile(PICTURE_BYTES) as file, registered(server, file, PICTURE_BYTES) as region:
        assert infer(server, region, direct=file.direct)[0] == 200
        before = open_regions(server)
        copies: list[int] = []
        for number in range(100):
            assert infer(server, region, direct=f"{file.direct}/{number}")[0] == 200
            copy = os.dup(file.descriptor)
            copies.append(copy)
            parts = file.direct.split("/")
            assert infer(server, region, direct="/".join((parts[0], str(copy), *parts[2:])))[0] == 200
            if number % 50 == 49:
                while copies:
                    os.close(copies.pop())
        assert open_regions(server) <= before


def test_many_regions_are_bounded(server: EmbeddedServer) -> None:
    files = [OwnFile(PICTURE_BYTES) for _ in range(280)]
    frames = pictures(5)
    try:
        for file in files:
            file.write(frames)
            with registered(server, file, PICTURE_BYTES) as region:
                status, found = infer(server, region, direct=file.direct)
                assert status == 200
                assert np.allclose(found, means(frames), atol=0.01)
        assert open_regions(server) <= 256
        with HonestClient(server) as honest:
            assert honest.is_answered_rightly(), "there is no room left for a new client"
    finally:
        for file in files:
            file.__exit__(None, None, None)
    wait_until_no_region_is_held(server)


def wait_until_no_region_is_held(server: EmbeddedServer) -> None:
    deadline = time.monotonic() + 60
    while (held := (mapped_regions(server), open_regions(server))) > (1, 1):  # the honest client's own stays
        assert time.monotonic() < deadline, f"mappings, descriptors: {held}: held until somebody asks"
        time.sleep(0.1)


def test_a_region_is_let_go_of_while_nobody_asks(server: EmbeddedServer) -> None:
    with OwnFile(8 * PICTURE_BYTES) as file, registered(server, file, 8 * PICTURE_BYTES) as region:
        assert infer(server, region, direct=file.direct, rows=8)[0] == 200
    wait_until_no_region_is_held(server)


def test_a_lease_on_what_is_registered_hangs_nobody(server: EmbeddedServer) -> None:
    """Triton holds a lock that every request needs while it opens the file; the kernel would let it wait for 45 s."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    path = Path(f"/dev/shm/photofinish-region-{os.getpid()}-lease")
    path.write_bytes(bytes(PICTURE_BYTES))
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        begun = time.monotonic()
        body = {"key": f"/{path.name}", "offset": 0, "byte_size": PICTURE_BYTES}
        status, answer = post(server, "/v2/systemsharedmemory/region/lease/register", body)
        assert status == 500
        assert "Unable to open shared memory region" in answer["error"]
        assert time.monotonic() - begun < 30
    finally:
        path.unlink()
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "device"])
def test_what_is_no_plain_file_is_not_registered(server: EmbeddedServer, tmp_path: Path, kind: str) -> None:
    path = Path(f"/dev/shm/photofinish-region-{os.getpid()}-{kind}")
    (tmp_path / "secret").write_bytes(bytes(PICTURE_BYTES))
    try:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "secret")
        body = {"key": f"/{path.name}", "offset": 0, "byte_size": PICTURE_BYTES}
        status, answer = post(server, f"/v2/systemsharedmemory/region/{kind}/register", body)
        assert status == 500
        assert "Unable to open shared memory region" in answer["error"]
    finally:
        path.rmdir() if kind == "folder" else path.unlink()


@pytest.mark.parametrize("is_direct", [True, False])
def test_answers_that_go_to_memory_that_is_taken_away(server: EmbeddedServer, is_direct: bool) -> None:
    with OwnFile(PICTURE_BYTES) as file, registered(server, file, PICTURE_BYTES) as region, OwnFile(4096) as sink:
        with registered(server, sink, 4096) as output:
            direct = file.direct if is_direct else ""
            assert infer(server, region, direct=direct, output_region=output)[0] == 200
            sink.resize(0)
            status, text = infer(server, region, direct=direct, output_region=output)
            assert status == 400
            assert "shorter than the request says" in text


def test_an_honest_client_beside_one_that_shrinks_its_memory(server: EmbeddedServer) -> None:
    """It keeps 99 % of its answers, and none is wrong; the attacker asks as fast as it can, in every way."""
    whole = 8 * PICTURE_BYTES
    is_over = threading.Event()
    outcomes: list[int] = []

    def attack(region: str, direct: str) -> None:
        while not is_over.is_set():
            for model in ("mean", "other"):
                outcomes.append(infer(server, region, direct=direct, rows=8, model=model)[0])

    right = wrong = missing = 0
    with OwnFile(whole) as file, registered(server, file, whole) as region, HonestClient(server) as honest:
        with shrinking(file, whole):
            attackers = [threading.Thread(target=attack, args=(region, direct)) for direct in (file.direct, "")]
            for thread in attackers:
                thread.start()
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                try:
                    if honest.is_answered_rightly():
                        right += 1
                    else:
                        wrong += 1
                except InferenceError:
                    missing += 1
            is_over.set()
            for thread in attackers:
                thread.join()
    assert wrong == 0
    assert right >= 50
    assert missing <= (right + missing) // 100, (right, missing)
    assert len(outcomes) > 20
    assert any(status != 200 for status in outcomes)
