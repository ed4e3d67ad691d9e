"""What a record says of the software it was measured with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from photofinish.perf.record import environment


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, check=True)


def recorded_commit() -> str:
    return str(environment.environment_fingerprint(None, server={})["commit"])


def test_the_commit_is_that_of_the_repository_that_holds_this_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's repository, with an environment in it that a wheel was installed into, says nothing of us."""
    module = tmp_path / ".venv" / "environment.py"
    module.parent.mkdir()
    module.write_text("ours = 1\n")
    monkeypatch.setattr(environment, "__file__", str(module))
    assert recorded_commit() == "unknown"
    git(tmp_path, "init")
    (tmp_path / "theirs.py").write_text("theirs = 1\n")
    git(tmp_path, "add", "theirs.py")
    git(tmp_path, "commit", "-m", "theirs")
    assert recorded_commit() == "unknown"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "ours")
    assert re.fullmatch(r"[0-9a-f]{12}", recorded_commit())
    module.write_text("ours = 2\n")
    assert re.fullmatch(r"[0-9a-f]{12} \(changed\)", recorded_commit())
