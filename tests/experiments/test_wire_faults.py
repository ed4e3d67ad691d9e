"""The page faults of the textbook client: the table, and both clients against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.wire_faults import CLIENTS, measure_rounds, table_from_rounds
from photofinish.server.triton.embedded import EmbeddedServer
from tests.perf.toy_repository import write_toy_repository


def test_the_table_weighs_every_request_alike() -> None:
    entries = [
        {"source": "a", "client": "as it is", "page_faults": 30, "wire_ns": [1_000_000, 2_000_000]},
        {"source": "a", "client": "as it is", "page_faults": 0, "wire_ns": [9_000_000]},
        {"source": "a", "client": "memory kept", "page_faults": 1, "wire_ns": [500_000]},
    ]
    assert table_from_rounds(entries).splitlines()[2:] == [
        "| a | as it is | 10 | 1.0 | 2.0 |",
        "| a | memory kept | 1 | 0.5 | 0.5 |",
    ]


def test_both_clients_are_measured_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    with EmbeddedServer(write_toy_repository(tmp_path / "models"), log_path=tmp_path / "log") as server:
        url = server.endpoint.grpc_url
        entries = measure_rounds(url, "toy_torch_fp32_tensor", ["synthetic"], rounds=1, requests=3)
    assert [entry["client"] for entry in entries] == list(CLIENTS)
    assert all(len(entry["wire_ns"]) == 3 and entry["page_faults"] >= 0 for entry in entries)
