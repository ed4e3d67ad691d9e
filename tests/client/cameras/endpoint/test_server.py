from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from photofinish.client.cameras.endpoint import server
from photofinish.client.cameras.endpoint.board import SILENT_S, CellBoard
from photofinish.client.cameras.endpoint.server import StatusEndpoint
from photofinish.client.cameras.values.outcome import CameraDropCause
from photofinish.errors import ConfigError
from tests.client.cameras.endpoint.statuses import camera_status, cell_status, dead_camera, inferred
from tests.client.cameras.endpoint.test_board import Clock


@contextmanager
def serving(board: CellBoard) -> Iterator[str]:
    with StatusEndpoint(board, port=0, answers_to=lambda host: host.startswith("127.")) as endpoint:
        yield endpoint.url


def get(url: str, host: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def scrape(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(get(f"{url}/metrics")[1])
        for sample in family.samples
    }


def test_prometheus_sees_every_camera_and_each_cause() -> None:
    board = CellBoard()
    with serving(board) as url:
        assert scrape(url) == {}
        board.on_status(cell_status(camera_status(decode="pool"), dead_camera()))
        board.on_inferred(inferred(latency_ms=42))
        found = scrape(url)
    door, yard = ("camera", "door"), ("camera", "yard")
    for camera, due, done in ((door, 10, 7), (yard, 10, 0)):
        assert found["photofinish_camera_frames_due_total", (camera,)] == due
        assert found["photofinish_camera_frames_inferred_total", (camera,)] == done
        lost = {
            labels[1][1]: value
            for (name, labels), value in found.items()
            if name == "photofinish_camera_frames_dropped_total" and camera in labels
        }
        assert set(lost) == {cause.value for cause in CameraDropCause}
        assert due == done + sum(lost.values()) + found["photofinish_camera_frames_pending", (camera,)]
    assert found["photofinish_camera_reconnects_total", (door,)] == 2
    assert found["photofinish_camera_quality", (door, ("quality", "fair"))] == 1
    assert found["photofinish_camera_quality", (door, ("quality", "poor"))] == 0
    ways = {way: found["photofinish_camera_decode", (door, ("decode", way))] for way in ("gpu", "cpu", "pool")}
    assert ways == {"gpu": 0, "cpu": 0, "pool": 1}
    assert found["photofinish_camera_decode", (yard, ("decode", "cpu"))] == 1
    assert found["photofinish_camera_connected", (yard,)] == 0
    assert found["photofinish_camera_latency_seconds_bucket", (door, ("le", "0.05"))] == 1
    assert found["photofinish_camera_latency_seconds_bucket", (door, ("le", "0.03"))] == 0
    assert found["photofinish_camera_latency_seconds_count", (door,)] == 1
    assert found["photofinish_cell_lost_events_total", (("output", "json"),)] == 3
    assert found["photofinish_cell_process_restarts_total", (("process", "decode 0"),)] == 2
    assert found["photofinish_cell_served", ()] == 1


def test_health_and_readiness() -> None:
    clock = Clock()
    board = CellBoard(clock)
    with serving(board) as url:
        assert get(f"{url}/healthz") == (200, "ok\n")
        assert get(f"{url}/readyz") == (503, "the cell is starting\n")
        assert get(f"{url}/status")[0] == 503
        board.on_status(cell_status(dead_camera()))
        assert get(f"{url}/readyz") == (200, "ok\n")  # a camera's fault is the camera's
        board.on_status(cell_status(server_message="no server answers"))
        assert get(f"{url}/readyz") == (503, "server: no server answers\n")
        board.on_status(cell_status(processes={"ingest 0": 0, "decode 0": 7}))
        assert get(f"{url}/readyz") == (503, "not there: ingest 0\n")
        clock.now_s += SILENT_S + 1
        assert get(f"{url}/healthz")[0] == get(f"{url}/readyz")[0] == 503


def test_a_strangers_page_is_told_nothing() -> None:
    board = CellBoard()
    board.on_status(cell_status(camera_status()))
    with serving(board) as url:
        assert json.loads(get(f"{url}/status")[1])["cameras"][0]["camera"] == "door"
        code, words = get(f"{url}/status", host="evil.example")
        assert code == 400
        assert "--trusted-host" in words
        assert get(f"{url}/else")[0] == 404


def test_a_taken_port_is_one_clear_error() -> None:
    with serving(CellBoard()) as url, pytest.raises(ConfigError, match="choose another --status-port"):
        StatusEndpoint(CellBoard(), port=int(url.rpartition(":")[2]), answers_to=lambda host: True)


def test_clients_that_ask_nothing_are_few_and_let_go(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each had a thread and a descriptor of the cell's for as long as it sent a byte in ten seconds."""
    monkeypatch.setattr(server, "MAX_CLIENTS", 3)
    with serving(CellBoard()) as url, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        idle = [stack.enter_context(socket.create_connection(address, timeout=8)) for _ in range(4)]
        for one in idle[:3]:
            one.sendall(b"GET /status HTTP/1.1\r\nX: ")
        assert idle[0].recv(1) == b""  # the fourth came
        assert get(f"{url}/healthz")[0] == 200
        assert idle[1].recv(1) == b""
        monkeypatch.setattr(server, "LONGEST_S", 0.1)
        assert [one.recv(1) for one in idle[2:]] == [b"", b""]
    assert "Traceback" not in capfd.readouterr().err
