"""What keeping the client's memory does, counted in page faults of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from photofinish.perf.judge.compare import differences
from photofinish.perf.load import client_memory
from photofinish.perf.load.client_memory import settle_client_memory
from photofinish.perf.report.parts import method_notes
from photofinish.perf.report.words import LANGUAGES
from tests.conftest import CHECKOUT
from tests.perf.records import build_record

COUNT_FAULTS = """
import resource, sys
from photofinish.perf.load.client_memory import settle_client_memory
settled = settle_client_memory(sys.argv[1], print)
def send():
    picture, message = bytearray(4915200), bytearray(4915200)
send()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    send()
print(f'["{settled}", {(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20}]')
"""


def faults_per_call(wanted: str) -> tuple[str, float]:
    command = [sys.executable, "-c", COUNT_FAULTS, wanted]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True)
    settled, faults = json.loads(done.stdout)
    return settled, faults


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_client_that_keeps_its_memory_takes_no_page_faults() -> None:
    assert faults_per_call("plain")[1] > 1000
    settled, faults = faults_per_call("kept")
    assert settled == "kept"
    assert faults < 20


@pytest.mark.parametrize("library", [object(), type("Library", (), {"mallopt": staticmethod(lambda *_: 0)})()])
def test_another_c_library_stays_plain_and_that_is_said(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    said: list[str] = []
    monkeypatch.setattr(client_memory.ctypes, "CDLL", lambda _: library)
    assert settle_client_memory("kept", said.append) == "plain"
    assert "--client-memory plain" in said[0]


def test_plain_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_memory.ctypes, "CDLL", lambda _: pytest.fail("the C library was touched"))
    assert settle_client_memory("plain", pytest.fail) == "plain"


def test_the_report_says_it_and_records_that_differ_are_not_compared() -> None:
    older, kept = build_record(), build_record()
    kept.environment["client_memory"] = "kept"
    found = [item for item in differences(older, kept) if item.key == "environment.client_memory"]
    assert [(item.first, item.second) for item in found] == [("plain", "kept")]
    for lang in LANGUAGES:
        assert len(set(method_notes(older, lang)) ^ set(method_notes(kept, lang))) == 2
