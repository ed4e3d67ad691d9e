from __future__ import annotations

import io

import pytest

from photofinish.export.tensorrt.progress import build_bar


def test_bar_moves_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        with build_bar("toy sm120") as move:
            move(0.5, "Timing graph nodes")
            move(0.4, "an earlier phase")
        assert ("toy sm120" in stream.getvalue()) is drawn
