"""User and password beside an address, as options."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from photofinish.address.credentials import PASSWORD_VARIABLE
from photofinish.commands.source_options import source_credentials


def test_the_command_gets_the_complete_source():
    @click.command()
    @click.option("--source")
    @source_credentials
    def show(source: str) -> None:
        click.echo(source)

    words = ["--source", "rtsp://cam/1", "--source-user", "adam"]
    result = CliRunner().invoke(show, words, env={PASSWORD_VARIABLE: "pw"})
    assert result.output == "rtsp://adam:pw@cam/1\n"


@pytest.mark.parametrize("name", ["detect", "calibrate", "ui", "demo"])
def test_every_command_with_a_source_takes_them(name):
    import importlib

    command = getattr(importlib.import_module(f"photofinish.commands.{name}"), name)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--source-user", "--source-password"} <= options
