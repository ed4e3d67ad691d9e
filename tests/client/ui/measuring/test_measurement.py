"""A measurement from the page: its commands, its pause, its end, and which files of it come out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.testclient import TestClient

from photofinish.cli import cli
from photofinish.client.ui.measuring.measurement import MOST_S, Measurement, Subject, comparison_words
from photofinish.client.ui.measuring.routes import RUNS_PATH, add_measuring_routes
from photofinish.client.ui.measuring.runs import KeptRuns
from photofinish.client.ui.owner import HEADER, Owner
from photofinish.client.ui.page.machine_use import MachineUse
from photofinish.errors import ServerError
from tests.client.fake_triton import wait_for

SUBJECT = Subject(
    url="127.0.0.1:1", metrics_url=None, baseline="toy_a", optimised="toy_b", source="rtsp://u:secret@cam/1"
)


class Bench:
    """Commands that write what `perf` would, when `gate` opens."""

    def __init__(self, folder: Path) -> None:
        self.gate = threading.Event()
        self.words: list[list[str]] = []
        self.status = 0
        self.last_words = "no answer from 127.0.0.1:1"
        self.paused = self.was_paused = False
        self.told_meanwhile = ""
        self.measurement = Measurement(KeptRuns(folder), lambda: SUBJECT, self.pause, start=self.start)

    @contextmanager
    def pause(self, stop: threading.Event) -> Iterator[None]:
        self.paused = True
        yield
        self.told_meanwhile = self.measurement.document()["phase"]
        self.paused = False

    def start(self, words: Sequence[str], *, on_line: Callable[[str], None], memory_bytes: int = 0) -> Any:
        self.words.append(list(words))
        self.was_paused = self.was_paused or self.paused
        on_line("round 3 of 20")
        bench = self

        class Command:
            def wait(self, timeout_s: float | None = None) -> int | None:
                if words[1] == "comparison":
                    if not bench.gate.wait(timeout_s):
                        return None
                    if bench.status in (0, 3):
                        write_run(Path(words[-1]))
                return bench.status

            def stop(self) -> None:
                return

            def why_it_failed(self) -> str:
                return bench.last_words

        return Command()


def write_run(record: Path, title: str = "4.0&times; &lt;b&gt;") -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("{}")
    record.with_suffix(".html").write_text(f"<html><title>{title}</title></html>")
    record.with_suffix(".csv").write_text("a,b\n")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "results")
    with made.measurement:
        yield made


def page_of(bench: Bench, owner: Owner) -> TestClient:
    app = FastAPI(openapi_url=None)
    add_measuring_routes(app, bench.measurement, owner)
    return TestClient(app)


def test_it_measures_while_the_view_waits_and_draws_the_reports(bench: Bench) -> None:
    client = page_of(bench, Owner(is_public=False))
    assert client.get("/measuring/state").json()["phase"] == "idle"
    assert client.post("/measuring/start").status_code == 200
    wait_for(lambda: bench.measurement.document()["line"] == "round 3 of 20")
    state = client.get("/measuring/state").json()
    assert (state["phase"], state["may_start"], state["runs"]) == ("measuring", True, [])
    assert 0 <= state["share"] < 0.5
    refused = client.post("/measuring/start")
    assert (refused.status_code, refused.json()["word"]) == (409, "measuring.problem.running")
    bench.gate.set()
    wait_for(lambda: bench.measurement.document()["phase"] == "done")
    assert bench.was_paused
    assert not bench.paused
    assert bench.told_meanwhile == "reporting", "it is done when the next one may begin, not before"
    assert [words[:2] for words in bench.words] == [["perf", "comparison"], ["perf", "report"], ["perf", "report"]]
    (run,) = client.get("/measuring/state").json()["runs"]
    assert run["titles"] == {"en": "4.0× <b>", "zh": "4.0× <b>"}
    record = bench.measurement.runs.folder / f"{run['name']}.json"
    record.with_suffix(".zh.html").write_text("<html><title>快 4.0 倍</title></html>")
    (run,) = client.get("/measuring/state").json()["runs"]
    assert (run["titles"], run["kinds"]) == (
        {"en": "4.0× <b>", "zh": "快 4.0 倍"},
        ["report", "report.zh", "csv", "json"],
    )
    report = client.get(f"{RUNS_PATH}/{run['name']}/report")
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert report.headers["content-disposition"].startswith("inline")
    assert client.get(f"{RUNS_PATH}/{run['name']}/csv").headers["content-disposition"].startswith("attachment")
    taken = client.get(f"{RUNS_PATH}/{run['name']}/report?download=1")
    assert taken.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("source", "shown"),
    [("rtsp://u:secret@cam/1", "rtsp://cam/1"), ("/dev/video0", "/dev/video0"), ("synthetic?seed=3", ""), ("0", "0")],
)
def test_it_measures_on_the_view_s_own_source_and_says_so_without_a_password(
    tmp_path: Path, source: str, shown: str
) -> None:
    subject = replace(SUBJECT, source=source)
    words = comparison_words(subject, "out.json")
    assert words[words.index("--source") + 1] == source
    assert "secret" not in repr(subject)
    at = Bench(tmp_path)
    measurement = Measurement(KeptRuns(tmp_path), lambda: subject, start=at.start)
    with measurement:
        assert (measurement.document()["source"], measurement.document()["measured"]) == (shown, "")
        at.gate.set()
        measurement.begin()
        wait_for(lambda: measurement.document()["phase"] == "done")
        assert measurement.document()["measured"] == shown


def test_an_invalid_run_is_shown_and_a_failed_one_says_why(bench: Bench) -> None:
    bench.gate.set()
    bench.status = 3
    assert bench.measurement.begin()
    wait_for(lambda: bench.measurement.document()["phase"] == "done")
    bench.status = 1
    bench.measurement.begin()
    wait_for(lambda: bench.measurement.document()["phase"] == "failed")
    assert bench.measurement.document()["message"] == "no answer from 127.0.0.1:1"
    assert len(bench.measurement.made) == 1


def test_a_measurement_that_hangs_or_ends_without_a_word_says_what_happened_and_what_to_do(tmp_path: Path) -> None:
    at, now = Bench(tmp_path), [0.0]
    at.last_words = ""
    measurement = Measurement(KeptRuns(tmp_path), lambda: SUBJECT, start=at.start, clock=lambda: now[0])
    with measurement:
        measurement.begin()
        wait_for(lambda: bool(at.words))
        now[0] = MOST_S + 1
        wait_for(lambda: measurement.document()["phase"] == "failed")
        assert measurement.document()["reason"] == {"word": "measuring.problem.too_long", "values": {"minutes": 20}}
        at.status = -9
        at.gate.set()
        wait_for(measurement.begin)
        wait_for(lambda: measurement.document()["phase"] == "failed")
        assert measurement.document()["reason"] == {"word": "measuring.problem.silent", "values": {"status": -9}}


def test_where_the_machine_is_reserved_nothing_is_measured_and_the_page_says_why(bench: Bench, tmp_path: Path) -> None:
    use = MachineUse()
    measurement = Measurement(KeptRuns(tmp_path), lambda: SUBJECT, use.alone, start=bench.start)
    with measurement, use.alone():
        assert measurement.begin()
        wait_for(lambda: measurement.document()["phase"] == "failed")
    assert measurement.document()["reason"] == {"word": "page.reserved.measuring", "values": {}}
    assert bench.words == []


def test_where_the_models_cannot_be_had_on_all_cores_nothing_is_measured_and_the_page_says_why(
    bench: Bench, tmp_path: Path
) -> None:
    @contextmanager
    def paused(stop: threading.Event) -> Iterator[None]:
        raise ServerError("port 8001 is taken")
        yield

    measurement = Measurement(KeptRuns(tmp_path), lambda: SUBJECT, paused, start=bench.start)
    with measurement:
        assert measurement.begin()
        wait_for(lambda: measurement.document()["phase"] == "failed")
    assert measurement.document()["message"] == "port 8001 is taken"
    assert bench.words == []


def test_while_it_waits_for_the_machine_the_page_says_so_and_it_can_be_stopped(bench: Bench, tmp_path: Path) -> None:
    use = MachineUse()
    measurement = Measurement(KeptRuns(tmp_path), lambda: SUBJECT, use.alone, start=bench.start)
    with measurement:
        with use.beside():
            assert measurement.begin()
            wait_for(lambda: use.is_reserved)
            assert measurement.document()["phase"] == "waiting"
            assert measurement.document()["share"] is not None
            measurement.stop()
            wait_for(lambda: measurement.document()["phase"] == "stopped")
            assert not use.is_reserved
    assert bench.words == []


def test_stopping_throws_away_what_was_measured(bench: Bench) -> None:
    bench.measurement.begin()
    wait_for(lambda: bool(bench.words))
    half = Path(bench.words[0][-1])
    write_run(half)
    bench.measurement.stop()
    wait_for(lambda: bench.measurement.document()["phase"] == "stopped")
    assert list(half.parent.iterdir()) == []
    assert not bench.paused


def test_on_a_shared_page_only_the_owner_starts_and_others_see_this_page_s_runs_alone(
    bench: Bench, tmp_path: Path
) -> None:
    owner = Owner(is_public=True)
    client, key = page_of(bench, owner), {HEADER: owner.key}
    write_run(tmp_path / "results" / "private.json")
    for path in ("/measuring/start", "/measuring/stop"):
        refused = client.post(path)
        assert (refused.status_code, refused.json()["word"]) == (403, "measuring.problem.not_owner")
        assert client.post(path, headers={HEADER: "x"}).status_code == 403
    assert bench.words == []
    state = client.get("/measuring/state").json()
    assert (state["may_start"], state["runs"]) == (False, [])
    assert client.get(f"{RUNS_PATH}/private/report").status_code == 404
    (private,) = client.get("/measuring/state", headers=key).json()["runs"]
    assert private["name"] == "private"
    assert owner.key not in private["ticket"]
    assert client.get(f"{RUNS_PATH}/private/report", params={"owner": owner.key}).status_code == 404, "a header's key"
    bench.gate.set()
    assert client.post("/measuring/start", headers=key).status_code == 200
    wait_for(lambda: bench.measurement.document()["phase"] == "done")
    (run,) = client.get("/measuring/state").json()["runs"]
    assert client.get(f"{RUNS_PATH}/{run['name']}/report").status_code == 200
    assert run["ticket"] == ""


def test_a_report_s_link_opens_that_run_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    owner = Owner(is_public=True)
    client = page_of(bench, owner)
    for name in ("first", "second"):
        write_run(tmp_path / "results" / f"{name}.json")
    ticket = {"ticket": owner.ticket("first")}
    for kind in ("report", "csv", "json"):
        assert client.get(f"{RUNS_PATH}/first/{kind}", params=ticket).status_code == 200
    assert client.get(f"{RUNS_PATH}/second/report", params=ticket).status_code == 404
    assert client.get(f"{RUNS_PATH}/first/report", params={"ticket": Owner(is_public=True).ticket("first")}).is_error
    assert client.get(f"{RUNS_PATH}/first/report", params={"ticket": ""}).is_error
    state = client.get("/measuring/state", params=ticket, headers={HEADER: ticket["ticket"]}).json()
    assert (state["may_start"], state["runs"]) == (False, [])
    assert client.post("/measuring/start", params=ticket, headers={HEADER: ticket["ticket"]}).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/..%2f..%2fetc%2fpasswd/report", "/..%2fsecret/json", "/secret/json", "/link/json", "/.hidden/json", "/run/exe",
     "/run/..%2fsecret.json", "/run%00/json", "/run.html/report", "/%2fetc%2fpasswd/json", "/run/report.zh"],
)  # fmt: skip
def test_no_name_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    bench = Bench(tmp_path / "results")
    write_run(tmp_path / "results" / "run.json")
    write_run(tmp_path / "results" / ".hidden.json")
    (tmp_path / "secret.json").write_text("root:")
    (tmp_path / "results" / "secret.json").write_text("no report of it")
    (tmp_path / "results" / "link.json").symlink_to(tmp_path / "secret.json")
    (tmp_path / "results" / "link.html").write_text("<title>x</title>")
    answer = page_of(bench, Owner(is_public=False)).get(RUNS_PATH + path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_its_command_lines_are_ones_that_the_command_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[dict[str, Any]] = []
    monkeypatch.setattr("photofinish.flows.measure.measure_comparison", lambda plan, **options: called.append(options))
    monkeypatch.setattr("photofinish.flows.poster.redrawn_report", lambda record, **options: called.append(options))
    for words in (comparison_words(SUBJECT, "a.json"), ("perf", "report", "a.json", "--lang", "zh"),
                  ("perf", "report", "a.json", "--pdf")):  # fmt: skip
        result = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert (called[0]["baseline"], called[0]["optimised"], called[0]["rivals"]) == ("toy_a", "toy_b", False)
    assert (called[1]["lang"], called[2]["pdf"]) == ("zh", True)
