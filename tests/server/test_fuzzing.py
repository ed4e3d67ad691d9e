"""1,000 requests that no client should make end nobody, hang nobody, and falsify nobody's answer."""

from __future__ import annotations

import os
from pathlib import Path

from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.fuzzing import fuzz
from tests.server.models import save_mean

REQUESTS = int(os.environ.get("PHOTOFINISH_FUZZ_REQUESTS", "1000"))
SEED = int(os.environ.get("PHOTOFINISH_FUZZ_SEED", "1"))


def test_requests_that_no_client_should_make(tmp_path: Path) -> None:
    for model in ("mean", "other"):
        save_mean(tmp_path / "models", model)
    with EmbeddedServer(tmp_path / "models", log_path=tmp_path / "log") as server:
        outcomes, honest, wrong = fuzz(server, seed=SEED, first=0, count=REQUESTS)
    assert wrong == []
    assert honest.right >= 20
    assert honest.slowest_s < 10
    kinds = {outcome.split()[0] for outcome in outcomes}
    assert kinds == {"http", "stranger", "grpc", "region"}
    assert outcomes["http 200"] > 0, "every request was broken: nothing behind the parser was tried"
    assert outcomes["grpc OK"] > 0
    assert outcomes["region 200"] > 0
    assert sum(count for outcome, count in outcomes.items() if not outcome.endswith(("200", "OK"))) > REQUESTS // 3
