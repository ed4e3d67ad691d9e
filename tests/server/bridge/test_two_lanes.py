"""Two executions ready at once: one runs, the next one waits beside it; what then becomes of either."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.bridge.attacker import PICTURE_BYTES, HonestClient, OwnFile, infer, registered, shrinking
from tests.server.bridge.faulty import (
    EXIT,
    GAP,
    GAP_S,
    HANG,
    LIMIT_S,
    SLOW,
    SLOW_BEGUN,
    SLOW_EXIT,
    ask,
    faulty_repository,
    http_body,
    is_ready,
    is_right,
    processes_of,
    seconds_until,
    status,
)
from tests.server.models import config_text, save_mean, write_model

ENDED = "a model process ended"
TRIES = 3


@contextmanager
def serving(folder: Path, lanes: int) -> Iterator[EmbeddedServer]:
    """`faulty` of `faulty_repository`, `joined`, whose requests are executed together, and `mean`."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        repository = faulty_repository(folder, monkeypatch)
        config = config_text(
            "joined",
            "pytorch",
            inputs='{name: "numbers" data_type: TYPE_UINT8 dims: [-1]}',
            outputs='{name: "doubled" data_type: TYPE_FP32 dims: [-1]}',
        )
        write_model(repository, "joined", config.replace("20000", "0"), "model.pt").touch()
        monkeypatch.setenv("PHOTOFINISH_LANES", str(lanes))
        save_mean(repository, "mean")
        models = ("faulty", "joined", "mean")
        with EmbeddedServer(repository, models=models, log_path=folder / "log") as running:
            yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with serving(tmp_path_factory.mktemp("lanes") / "two", 2) as running:
        yield running


@pytest.fixture
def url(server: EmbeddedServer) -> str:
    seconds_until(lambda: is_ready(server), "the server has its processes again")
    assert is_right(server.endpoint.grpc_url, "faulty")
    return server.endpoint.grpc_url


def counts(server: EmbeddedServer, model: str) -> dict[str, int]:
    """Triton's own: requests and executions, and nanoseconds of each stage, since the server began."""
    found = json.loads(status(server, f"/v2/models/{model}/stats")[1])["model_stats"][0]
    stages = {name: stage["ns"] for name, stage in found["inference_stats"].items()}
    return {"requests": found["inference_count"], "executions": found["execution_count"], **stages}


def difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: value - before[name] for name, value in after.items()}


def slow_count(server: EmbeddedServer) -> int:
    return server.log_path.read_text().count(SLOW_BEGUN)


def begin(pool: ThreadPoolExecutor, server: EmbeddedServer, first: int, width: int = 8) -> Future[object]:
    """A slow request, of which the engine has begun."""
    before = slow_count(server)
    asked = pool.submit(ask, server.endpoint.grpc_url, "faulty", first, width)
    seconds_until(lambda: slow_count(server) > before, "the engine has begun")
    return asked


def wait_until_queued(server: EmbeddedServer, wanted: int) -> None:
    """So many requests wait in Triton; those in the lanes are no longer there."""

    def queued() -> int:
        with urllib.request.urlopen(f"http://{server.endpoint.metrics_url}/metrics", timeout=60) as answer:
            page = answer.read().decode()
        found = re.search(r'nv_inference_pending_request_count\{model="faulty",version="1"\} (\d+)', page)
        return int(found[1]) if found else -1

    seconds_until(lambda: queued() == wanted, f"{wanted} requests wait")


@pytest.mark.parametrize("how", ["by itself", "killed", "stopped"])
def test_what_stands_behind_an_end_is_asked_again(server: EmbeddedServer, url: str, how: str) -> None:
    """One request ended its process, or ran when somebody else did; the one beside it and all others are answered."""
    (process,) = processes_of(server, "faulty")
    with ThreadPoolExecutor(8) as pool:
        first = begin(pool, server, SLOW_EXIT if how == "by itself" else SLOW)
        others = [pool.submit(is_right, url, "faulty") for _ in range(4)]
        wait_until_queued(server, 3)
        if how != "by itself":
            os.kill(process, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        with pytest.raises(InferenceServerException, match=ENDED):
            first.result()
        assert all(other.result() for other in others)
    assert processes_of(server, "faulty") != [process]


def test_the_second_of_two_that_end_their_process_is_told_so_too(server: EmbeddedServer, url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        bad = [begin(pool, server, SLOW_EXIT, 24), pool.submit(ask, url, "faulty", EXIT, 32)]
        others = [pool.submit(is_right, url, "faulty") for _ in range(3)]
        for request in bad:
            with pytest.raises(InferenceServerException, match=ENDED):
                request.result()
        assert all(other.result() for other in others)


def test_one_that_hangs_takes_no_other_along(server: EmbeddedServer, url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        slow = begin(pool, server, SLOW)
        hanging = pool.submit(ask, url, "faulty", HANG, 48)
        others = [pool.submit(is_right, url, "faulty") for _ in range(3)]
        assert slow.result() is not None
        with pytest.raises(InferenceServerException, match=f"gave no answer within {LIMIT_S:.0f} s"):
            hanging.result()
        assert all(other.result() for other in others)


def load(server: EmbeddedServer, seconds: float, clients: int) -> tuple[list[float], float]:
    """How long the engine rested before each of the requests of so many clients, and how long all of it took."""
    rests: list[float] = []
    until = time.monotonic() + seconds

    def client() -> None:
        while time.monotonic() < until:
            code, said = status(server, "/v2/models/faulty/infer", http_body(GAP))
            assert code == 200, said
            rests.append(json.loads(said)["outputs"][0]["data"][0])

    begun = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rests, time.monotonic() - begun


def best(measure: Callable[[], bool], tries: int = TRIES) -> bool:
    """Other programs may hold the processor."""
    return any(measure() for _ in range(tries))


def test_the_engine_rests_less_between_two_executions(server: EmbeddedServer, url: str, tmp_path: Path) -> None:
    said = []
    with serving(tmp_path / "one", 1) as single:
        assert is_right(single.endpoint.grpc_url, "faulty")

        def is_less() -> bool:
            rests = [statistics.median(load(each, 0.7, 4)[0]) for each in (single, server)]
            said.append(rests)
            return rests[1] < 0.8 * rests[0]

        assert best(is_less), said


def test_time_is_counted_once(server: EmbeddedServer, url: str) -> None:
    """While one execution runs the other one queues: no two of them compute at once."""
    said = []

    def most_is_queued() -> bool:
        before = counts(server, "faulty")
        rests, taken_s = load(server, 0.7, 4)
        spent = difference(counts(server, "faulty"), before)
        said.append(spent)
        check_times(spent, len(rests), taken_s)
        # Four clients wait for one engine; the time of three of them is in the queue.
        return spent["queue"] > 2 * spent["compute_infer"]

    assert best(most_is_queued), said


def check_times(spent: dict[str, int], answered: int, taken_s: float) -> None:
    # Triton counts after the answer: the request before the load may come late, and the load's last one, too.
    assert abs(spent["requests"] - answered) <= 1
    assert abs(spent["executions"] - answered) <= 1
    least_s = (answered - 1) * GAP_S
    assert least_s <= spent["compute_infer"] / 1e9 <= taken_s
    stages = sum(spent[name] for name in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert stages <= spent["success"]


def test_requests_that_come_while_one_runs_are_joined(server: EmbeddedServer, url: str) -> None:
    """The second lane takes no lone request as long as others may still come."""

    def ask_joined(first: int) -> int:
        return status(server, "/v2/models/joined/infer", http_body(first))[0]

    for _ in range(2):
        assert ask_joined(SLOW) == 200
    said = []

    def are_joined() -> bool:
        before = counts(server, "joined")
        begun = slow_count(server)
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(ask_joined, SLOW)]
            seconds_until(lambda: slow_count(server) > begun, "the engine has begun")
            sent += [pool.submit(ask_joined, SLOW) for _ in range(6)]
            assert [each.result() for each in sent] == [200] * 7
        said.append(difference(counts(server, "joined"), before))
        return said[-1]["executions"] == 2

    assert best(are_joined), said


def test_clients_memory_that_goes_takes_nobody_along(server: EmbeddedServer, url: str) -> None:
    """One shrinks what it sends from and is answered into; an honest client beside it notices nothing."""
    before = processes_of(server, "mean")
    whole = 8 * PICTURE_BYTES
    is_over = threading.Event()
    outcomes: list[int] = []
    with OwnFile(whole) as file, registered(server, file, whole) as region, HonestClient(server) as honest:

        def attack() -> None:
            while not is_over.is_set():
                outcomes.append(infer(server, region, direct=file.direct, rows=8, output_region=region)[0])

        attackers = [threading.Thread(target=attack) for _ in range(2)]
        with shrinking(file, whole):
            for thread in attackers:
                thread.start()
            assert all(honest.is_answered_rightly() for _ in range(150))
            seconds_until(lambda: len(set(outcomes)) > 1, "the attack has met its aim")
            is_over.set()
            for thread in attackers:
                thread.join()
    assert processes_of(server, "mean") == before


def test_a_model_is_one_process(server: EmbeddedServer, url: str) -> None:
    assert len(processes_of(server, "faulty")) == len(processes_of(server, "joined")) == 1


def test_a_server_that_ends_answers_what_it_has(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        with serving(tmp_path / "ending", 2) as ending:
            url = ending.endpoint.grpc_url
            assert is_right(url, "faulty")
            sent = [begin(pool, ending, SLOW), *(pool.submit(is_right, url, "faulty") for _ in range(2))]
            wait_until_queued(ending, 1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 30
        assert sent[0].result() is not None
        assert sent[1].result()
        assert sent[2].result()
    assert not re.search(r"terminate called|Signal \((6|7|11)\)", ending.log_path.read_text())
