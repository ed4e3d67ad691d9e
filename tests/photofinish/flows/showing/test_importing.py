"""Modules imported beside a block: there when it needs them, the thread gone behind it, errors where they matter."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from photofinish.flows.showing.importing import imported_meanwhile

DEADLINE_S = 60.0


def module_at(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def threads_of_imports() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "imports"]


def test_they_are_imported_once_and_the_thread_ends_with_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import threading\nMAKER = threading.current_thread().name\n"
    name = module_at(tmp_path, "slow_to_import", text, monkeypatch)
    with imported_meanwhile((name,)):
        for thread in threads_of_imports():
            thread.join(DEADLINE_S)
        assert importlib.import_module(name).MAKER == "imports"
    assert not threads_of_imports()


def test_an_import_that_fails_fails_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module_at(tmp_path, "broken_to_import", "raise ValueError('a broken package')\n", monkeypatch)
    with imported_meanwhile((name,)), pytest.raises(ValueError, match="a broken package"):
        importlib.import_module(name)


def test_a_block_that_ends_early_does_not_wait_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    class Waited(threading.Thread):
        """The first import goes on once the block has ended, however busy the machine."""

        def join(self, timeout: float | None = None) -> None:
            gate.set()
            super().join(timeout)

    monkeypatch.setattr(threading, "import_gate", gate, raising=False)
    monkeypatch.setattr("photofinish.flows.showing.importing.threading.Thread", Waited)
    first = module_at(tmp_path, "waits", "import threading\nthreading.import_gate.wait(60)\n", monkeypatch)
    second = module_at(tmp_path, "never_wanted", "", monkeypatch)
    with imported_meanwhile((first, second)):
        pass
    assert second not in sys.modules
    assert not threads_of_imports()
