"""Programs out of wheels: checked, once, and safe for two processes. Real pip on a folder of wheels."""

import hashlib
import multiprocessing
import zipfile
from pathlib import Path

import pytest

from photofinish import wheels
from photofinish.machine.disk import user_cache_dir
from photofinish.wheels import WheelError, unpacked_wheel

REQUIREMENT = "toytool==1.0"
PROGRAM = b"\x7fELF not really"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / "toytool-1.0-py3-none-any.whl"
    info = "toytool-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toytool/bin/tool", PROGRAM)
        archive.writestr("toytool/notes.txt", "large and not wanted")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toytool\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path / "cache"))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_unpacks_only_the_wanted_members_and_only_once(wheel: Path) -> None:
    said: list[str] = []
    pinned = sha256(wheel)
    folder = unpacked_wheel(REQUIREMENT, sha256=pinned, members=("toytool/bin/*",), on_progress=said.append)
    program = folder / "toytool/bin/tool"
    assert program.read_bytes() == PROGRAM
    assert program.stat().st_mode & 0o111
    assert not (folder / "toytool/notes.txt").exists()
    assert any("downloading" in line for line in said)
    said.clear()
    wheel.unlink()
    assert unpacked_wheel(REQUIREMENT, sha256=pinned, members=("toytool/bin/*",), on_progress=said.append) == folder
    assert said == []


def test_defaults_unpack_everything(wheel: Path) -> None:
    folder = unpacked_wheel(REQUIREMENT, sha256=sha256(wheel))
    assert (folder / "toytool/notes.txt").is_file()
    assert folder.is_relative_to(user_cache_dir())


def test_wrong_hash_is_refused_and_leaves_nothing(wheel: Path) -> None:
    with pytest.raises(WheelError, match="expected 0000"):
        unpacked_wheel(REQUIREMENT, sha256="0" * 64, on_progress=lambda line: None)
    assert [path.suffix for path in (user_cache_dir() / "wheels").iterdir()] == [".lock"]


def test_impossible_download_says_what_pip_said(wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(WheelError, match=r"could not be downloaded: pip said .*toytool") as caught:
        unpacked_wheel(REQUIREMENT, sha256="0" * 64, on_progress=lambda line: None)
    assert "pip config list" in str(caught.value)


def test_missing_members_are_an_error(wheel: Path) -> None:
    with pytest.raises(WheelError, match="holds nothing that matches"):
        unpacked_wheel(REQUIREMENT, sha256=sha256(wheel), members=("other/*",), on_progress=lambda line: None)


def test_unwritable_cache_names_the_variable(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WheelError, match="PHOTOFINISH_CACHE"):
        unpacked_wheel(REQUIREMENT, sha256=sha256(wheel), cache_dir=tmp_path / "file", on_progress=lambda line: None)


def unpack_and_report(pinned: str, results: "multiprocessing.Queue[tuple[str, list[str]]]") -> None:
    said: list[str] = []
    results.put((str(unpacked_wheel(REQUIREMENT, sha256=pinned, on_progress=said.append)), said))


def test_two_processes_download_once(wheel: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=unpack_and_report, args=(sha256(wheel), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert found[0][0] == found[1][0]
    downloads = sum("downloading" in line and "waiting" not in line for _, said in found for line in said[:1])
    assert downloads == 1


@pytest.mark.parametrize(("version", "style"), [("24.0", "off"), ("24.1", "raw"), ("26.3", "raw"), ("nonsense", "off")])
def test_old_pip_is_not_asked_for_byte_counts(monkeypatch: pytest.MonkeyPatch, version: str, style: str) -> None:
    monkeypatch.setattr(wheels.importlib.metadata, "version", lambda name: version)
    assert wheels._progress_style() == style
