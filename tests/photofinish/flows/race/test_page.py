"""What the record of the page's race says of itself."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.client.ui.page.split_view import Choice
from photofinish.flows.race.page import race_command

CHOICE = Choice(source="rtsp://user:secret@cam/1?token=abc", baseline="toy_a", optimised="toy_b")


def test_the_command_of_a_record_repeats_the_race_and_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[dict[str, Any]] = []
    monkeypatch.setattr("photofinish.flows.race.command.run_race", lambda **options: called.append(options))
    for url in ("", "gpu:8001"):
        command = race_command(CHOICE, 12.5, url=url)
        assert "secret" not in command
        assert "abc" not in command
        result = CliRunner().invoke(cli, shlex.split(command)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    own, others = called
    assert (own["baseline"], own["optimised"], own["seconds"]) == ("toy_a", "toy_b", 12.5)
    assert own["source"].startswith("rtsp://cam/1")
    assert (own["url"], others["url"], others["metrics_url"]) == (None, "gpu:8001", "none")
