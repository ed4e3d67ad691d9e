"""The doctor: every finding has a status and, where something lacks, a remedy."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.server import doctor
from photofinish.server.doctor import Check, examine, extra_packages, text_from_checks


def test_this_machine_can_serve() -> None:
    checks = {check.name: check for check in examine()}
    assert checks["platform"].status == "works"
    assert checks["libpython"].status == "works"
    assert all(check.remedy for check in checks.values() if check.status != "works")
    assert all(check.found for check in checks.values())


def test_a_machine_without_a_compiler_is_told_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._bridge_check().status == "works"
    monkeypatch.setattr(doctor, "find_compiler", lambda: None)
    found = doctor._bridge_check()
    assert found.status == "note"
    assert "apt install g++" in found.remedy


def test_json_and_text_hold_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (Check(name="disk", status="fails", found="0.1 GiB free", remedy="free some space"),)
    monkeypatch.setattr(doctor, "examine", lambda: found)
    answer = CliRunner().invoke(cli, ["doctor", "--json"])
    assert answer.exit_code == 1
    wanted = {"name": "disk", "status": "fails", "found": "0.1 GiB free", "remedy": "free some space"}
    assert wanted in json.loads(answer.output)
    assert "→ free some space" in CliRunner().invoke(cli, ["doctor"]).output


@pytest.mark.parametrize(
    ("engines", "has_gpu", "status", "words"),
    [
        ({"torch": {"version": "2", "cuda": False, "built_for": "13.2"}}, True, "fails", "does not see the GPU"),
        ({"torch": {"version": "2", "cuda": False, "built_for": None}}, False, "works", "2 on CPU"),
        ({"torch": {"missing": "No module named 'torch'"}}, False, "note", "No module named 'torch'"),
        ({}, False, "note", "importing it failed"),
        ({"onnxruntime": {"version": "1", "providers": ["CPUExecutionProvider"]}}, True, "fails", "CPU build on a GPU"),
    ],
)
def test_engines(engines: dict[str, dict[str, object]], has_gpu: bool, status: str, words: str) -> None:
    checks = list(doctor._engine_checks(engines, has_gpu=has_gpu))
    assert any(check.status == status and words in check.found for check in checks)


@pytest.mark.parametrize(
    ("taken", "told", "not_told"),
    [
        ({7860}, "a page takes the next free port", "--grpc-port"),
        ({8001}, "--grpc-port 0", "a page takes"),
        ({8001, 7860}, "takes free ones; a page takes", "nothing"),
    ],
)
def test_what_to_do_about_a_port_is_said_of_that_port(
    monkeypatch: pytest.MonkeyPatch, taken: set[int], told: str, not_told: str
) -> None:
    monkeypatch.setattr(doctor.socket.socket, "connect_ex", lambda self, address: int(address[1] not in taken))
    found = doctor._ports_check()
    assert found.status == "note"
    assert found.found.startswith(", ".join(map(str, sorted(taken, key=(8000, 8001, 8002, 7860).index))))
    assert told in found.remedy
    assert not_told not in found.remedy


def test_a_folder_without_leave_to_write_is_no_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    found = doctor._space_check("disk", tmp_path, 0.0, "free some space")
    assert (found.status, found.remedy) == ("fails", "correct its permissions, or use another folder")


def test_extras_come_from_the_package() -> None:
    assert "torch" in extra_packages("server")
    assert "torch" not in extra_packages("client")
    assert extra_packages("nonsense") == []


def test_text_of_nothing() -> None:
    assert text_from_checks(()) == ""


def test_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    check = doctor._extra_check("server")
    assert check.status == "note"
    assert "without being installed" in check.found


def test_a_machine_without_shared_memory(tmp_path: Path) -> None:
    assert doctor._shared_memory_check(tmp_path).status in ("works", "fails")
    check = doctor._shared_memory_check(tmp_path / "shm")
    assert (check.status, check.found) == ("fails", f"there is no {tmp_path}/shm")
    assert "mount" in check.remedy
