"""One export at a time in a staging folder: what is published is what the gate saw."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.errors import ConfigError
from photofinish.flows import demo, export
from photofinish.flows.gate import LOCK_NAME, alone_in, tell_places


def is_held(staging: Path) -> bool:
    with (staging / LOCK_NAME).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_the_second_export_waits_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    told, entered = threading.Event(), threading.Event()

    def second() -> None:
        def tell(line: str) -> None:
            said.append(line)
            told.set()

        with alone_in(tmp_path / "staging", tell):
            entered.set()

    with alone_in(tmp_path / "staging", said.append):
        waiting = threading.Thread(target=second, daemon=True)
        waiting.start()
        assert told.wait(60)
        assert not entered.is_set()
    assert entered.wait(60)
    waiting.join(60)
    assert said == [f"waiting for another export that works in {tmp_path / 'staging'}"]
    assert not is_held(tmp_path / "staging")


def test_an_error_inside_is_not_taken_for_one_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the build"), alone_in(tmp_path, print):
        raise OSError("of the build")
    assert not is_held(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another folder with"), alone_in(tmp_path / "file", print):
        pass


def test_export_holds_the_staging_folder_from_building_to_publishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    held: list[bool] = []

    def stage(*args: Any, staging: Path, **options: Any) -> tuple[()]:
        held.append(is_held(staging))
        return ()

    def gate(*args: Any, **options: Any) -> None:
        held.append(is_held(tmp_path))
        raise ConfigError("published")

    monkeypatch.setattr("photofinish.export.build.stage_variants", stage)
    monkeypatch.setattr(export, "baseline_of", lambda staged, request: None)
    monkeypatch.setattr(export, "gate_and_publish", gate)
    done = CliRunner().invoke(cli, ["export", "--staging", str(tmp_path)], standalone_mode=False)
    assert str(done.exception) == "published"
    assert held == [True, True]
    assert not is_held(tmp_path)


def test_demo_holds_the_staging_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    held: list[bool] = []

    def publish(*args: Any, **options: Any) -> None:
        held.append(is_held(demo.WORK / "staging"))
        raise ConfigError("published")

    monkeypatch.setattr(demo, "publish_pair", publish)
    done = CliRunner().invoke(cli, ["demo", "--headless"], standalone_mode=False)
    assert str(done.exception) == "published"
    assert held == [True]


def test_reports_stay_in_the_working_folder_which_is_told_wherever_the_rest_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    said: list[str] = []
    tell_places(Path(".photofinish/staging"), elsewhere / "models", said.append)
    tell_places(elsewhere / "staging", elsewhere / "models", said.append)
    kept = f"models are kept in {elsewhere}/models, work files in "
    assert said == [f"{kept}{here}/.photofinish", f"{kept}{elsewhere}/staging and {here}/.photofinish"]


def test_a_working_folder_that_takes_no_report_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".photofinish").write_text("a file, no folder")
    words = ["export", "--staging", str(tmp_path / "staging"), "--repository", str(tmp_path / "models")]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert isinstance(done.exception, ConfigError)
    said = str(done.exception)
    assert f"{tmp_path}/.photofinish/gate cannot be written: Not a directory; start the export in a folder" in said
    assert not (tmp_path / "staging").exists()
