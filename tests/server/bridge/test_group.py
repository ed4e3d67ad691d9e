"""Models that share a process: who answers, who is told what when it ends, and what each takes of its memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from tritonclient.utils import InferenceServerException

from photofinish.machine.triton_metrics import read_metrics
from photofinish.server.backend.memory import COMMON_HOST_METRIC, HOST_METRIC
from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.bridge.faulty import (
    EXIT,
    HANG,
    LIMIT_S,
    SLOW,
    SLOW_BEGUN,
    ask,
    faulty_repository,
    http_body,
    is_ready,
    is_right,
    processes_of,
    seconds_until,
    status,
)
from tests.server.models import config_text, write_model

BACK_S = 2.0
TRIES = 3
GROUPED = ("faulty", "other", "pair")
WITH_TF32 = 'parameters { key: "photofinish" value { string_value: "{\\"tf32\\": true}" } }'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """`faulty`, `other` and both instances of `pair` share a process; `apart`, with TF32, and `toy` have their own."""
    folder = tmp_path_factory.mktemp("group")
    with pytest.MonkeyPatch.context() as monkeypatch:
        repository = faulty_repository(folder, monkeypatch)
        for name, extra in (("other", ""), ("apart", WITH_TF32)):
            config = config_text(
                name,
                "pytorch",
                inputs='{name: "numbers" data_type: TYPE_UINT8 dims: [-1]}',
                outputs='{name: "doubled" data_type: TYPE_FP32 dims: [-1]}',
                extra=extra,
            )
            write_model(repository, name, config.replace("dynamic_batching", "# "), "model.pt").touch()
        monkeypatch.setenv("PHOTOFINISH_GROUP", "1")
        with EmbeddedServer(repository, log_path=folder / "log") as running:
            yield running


@pytest.fixture
def url(server: EmbeddedServer) -> str:
    seconds_until(lambda: is_ready(server) and all(is_ready(server, name) for name in GROUPED), "all serve again")
    for name in GROUPED:
        assert is_right(server.endpoint.grpc_url, name)
    return server.endpoint.grpc_url


def groups(server: EmbeddedServer) -> dict[int, set[str]]:
    """By process, the instances that the metrics find there."""
    page = read_metrics(server.endpoint.metrics_url)
    found: dict[int, set[str]] = {}
    for sample in page:
        if sample.name == HOST_METRIC:
            pid, _, instance = sample.labels["instance"].partition("/")
            found.setdefault(int(pid), set()).add(instance)
    return found


def group_of(server: EmbeddedServer, instance: str) -> int:
    """The process that has the instance."""
    (pid,) = (pid for pid, instances in groups(server).items() if instance in instances)
    return pid


def test_models_that_want_the_same_share_a_process(server: EmbeddedServer, url: str) -> None:
    wanted = [{"faulty_0_0", "other_0_0", "pair_0_0", "pair_0_1"}, {"apart_0_0"}, {"toy_0_0"}]
    assert sorted(groups(server).values(), key=len, reverse=True)[0] == wanted[0]
    assert all(each in groups(server).values() for each in wanted)
    assert not processes_of(server, "faulty")


def test_each_is_answered_rightly_while_the_others_are(server: EmbeddedServer, url: str) -> None:
    def all_right(name: str) -> bool:
        return all(is_right(url, name, 8 + number % 5) for number in range(40))

    with ThreadPoolExecutor(6) as pool:

        def is_answered_first() -> bool:
            slow = pool.submit(ask, url, "other", SLOW)
            return is_right(url, "faulty") and not slow.done() and slow.result() is not None

        assert any(is_answered_first() for _ in range(TRIES)), "one model waits for another"
        assert all(pool.map(all_right, (*GROUPED, "apart")))


def test_all_are_back_soon_and_who_waited_is_told(server: EmbeddedServer, url: str) -> None:
    taken = []
    for _ in range(TRIES):
        process, apart = group_of(server, "faulty_0_0"), group_of(server, "apart_0_0")
        before = server.log_path.read_text().count(SLOW_BEGUN)
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(ask, url, name, SLOW) for name in ("faulty", "other")]
            seconds_until(lambda n=before: server.log_path.read_text().count(SLOW_BEGUN) == n + 2, "both have begun")
            os.kill(process, signal.SIGKILL)
            begun = time.monotonic()
            for asked in waiting:
                with pytest.raises(InferenceServerException, match=r"a model process ended.*was ended by Killed"):
                    asked.result()
        assert all(is_right(url, name) for name in GROUPED)
        taken.append(time.monotonic() - begun)
        assert group_of(server, "apart_0_0") == apart
        assert group_of(server, "faulty_0_0") == group_of(server, "other_0_0") != process
    assert min(taken) < BACK_S, taken


def test_who_hangs_is_blamed_and_the_others_are_told_who_it_was(server: EmbeddedServer, url: str) -> None:
    def said_to_the_other() -> str:
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(ask, url, "faulty", HANG, 21)
            said = ""
            while not said and not hanging.done():
                try:
                    ask(url, "other", SLOW, 22)
                except InferenceServerException as exc:
                    said = str(exc)
            with pytest.raises(InferenceServerException, match=rf"\(gave no answer within {LIMIT_S:.0f} s"):
                hanging.result()
        return said

    said = [said_to_the_other() for _ in range(2)]
    assert any(f"faulty_0_0 gave no answer within {LIMIT_S:.0f} s and was ended" in each for each in said), said
    assert is_right(url, "other", 22)
    with pytest.raises(InferenceServerException, match="faulty ended twice on requests of the shape"):
        ask(url, "faulty", HANG, 21)


def test_one_that_ends_the_process_at_every_try_is_alone_then(server: EmbeddedServer, url: str) -> None:
    for width in (31, 32, 33):
        with pytest.raises(InferenceServerException, match="ended with exit code 7"):
            ask(url, "faulty", EXIT, width)
    code, said = status(server, "/v2/models/faulty/infer", http_body(EXIT, 34))
    assert code in (500, 503), said
    seconds_until(lambda: is_ready(server, "faulty"), "it serves again")
    (alone,) = processes_of(server, "faulty")
    assert all(is_right(url, name) for name in GROUPED)
    os.kill(alone, signal.SIGKILL)
    wanted = {"faulty_0_0", "other_0_0"}  # it has worked since
    seconds_until(lambda: any(wanted <= each for each in groups(server).values()), "it is back in its group")
    assert is_right(url, "faulty")


def test_each_ones_memory_is_told(server: EmbeddedServer, url: str) -> None:
    process = group_of(server, "faulty_0_0")
    page = [each for each in read_metrics(server.endpoint.metrics_url) if "/" in each.labels.get("instance", "")]
    mine = [each for each in page if int(each.labels["instance"].partition("/")[0]) == process]
    shares = [each.value for each in mine if each.name == HOST_METRIC]
    common = [each.value for each in mine if each.name == COMMON_HOST_METRIC]
    assert len(shares) == len(common) == 4
    resident = psutil.Process(process).memory_info().rss
    assert sum(shares) < resident / 4 < max(common)
    assert sum(shares) + max(common) == pytest.approx(resident, rel=0.1)
