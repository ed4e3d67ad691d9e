"""docs/python.md: its code runs as it stands, piece after piece, against a served detector."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from photofinish.errors import ConfigError
from tests.client.sources.test_sources import write_video
from tests.conftest import ServedCoco
from tests.docs.pages import read

PIECES = re.findall(r"^```python\n(.*?)^```$", read("docs/python.md"), re.DOTALL | re.MULTILINE)
ADDRESS = "127.0.0.1:8001"


def test_the_code_of_the_page_runs(
    served_coco: ServedCoco, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ultralytics.utils import ASSETS

    for name in ("bus.jpg", "zidane.jpg"):
        shutil.copy(ASSETS / name, tmp_path)
    write_video(tmp_path / "street.mp4", count=4)
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    assert len(PIECES) >= 8
    for piece in PIECES:
        code = compile(piece.replace(ADDRESS, served_coco.url), "docs/python.md", "exec")
        if "to_supervision" in piece and find_spec("supervision") is None:
            with pytest.raises(ConfigError, match="pip install supervision"):
                exec(code, known)
        else:
            exec(code, known)
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("nowhere.jpg cannot be read") for line in said)
    assert [len(found) for found in known["several"]] == [5, 3, 5]
    assert known["counts"] == [5, 3] * 4
    assert sorted(known["several"][0].names) == ["bus", "person", "person", "person", "person"]
    assert (tmp_path / "bus-boxes.jpg").stat().st_size > 10_000


def test_the_first_piece_is_five_lines() -> None:
    lines = [line for line in PIECES[0].splitlines() if line]
    assert len(lines) == 4
    assert lines[0] == "from photofinish import Detector"
