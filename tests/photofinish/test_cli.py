from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from photofinish import __version__
from photofinish.cli import COMMANDS, cli
from tests.conftest import CHECKOUT

MODULE = (sys.executable, "-m", "photofinish")
SCRIPT = (sys.executable, "-c", "import sys; from photofinish.cli import main; sys.argv[0] = 'photofinish'; main()")
"""As an installation's `photofinish` calls it."""


def photofinish(*arguments: str, by: tuple[str, ...] = MODULE) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*by, *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


def test_version_goes_to_stdout() -> None:
    result = photofinish("--version")
    assert result.returncode == 0
    assert __version__ in result.stdout
    assert result.stderr == ""


def test_an_unknown_command_is_a_usage_error() -> None:
    result = photofinish("fly")
    assert result.returncode == 2
    assert "No such command 'fly'" in result.stderr
    assert "Did you mean" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [["--version"], ["race", "--still", "a.gif"], ["race", "--fly"]])
def test_the_module_does_what_the_script_does(words: list[str]) -> None:
    module, script = photofinish(*words), photofinish(*words, by=SCRIPT)
    assert (module.returncode, module.stdout) == (script.returncode, script.stdout)
    assert module.stderr.replace("python -m photofinish", "photofinish") == script.stderr


@pytest.mark.parametrize(("typed", "meant"), [("detct", "detect"), ("exprot", "export"), ("train_demo", "train-demo")])
def test_the_nearest_command_is_named(typed: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [typed])
    assert result.exit_code == 2
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in result.output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_loads(name: str) -> None:
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.help, f"{name} needs a docstring: it is its help text"


@pytest.mark.parametrize("words", [[], ["perf"], ["cameras"]], ids=["photofinish", "perf", "cameras"])
def test_a_list_of_commands_is_whole_in_80_columns(words: list[str]) -> None:
    said = CliRunner().invoke(cli, [*words, "--help"], terminal_width=80).output
    listed = said.partition("Commands:")[2].splitlines()
    assert len(listed) > 3
    assert [line for line in listed if line.endswith("...")] == [], "give the command a short_help"


def test_help_of_the_base_command_needs_no_heavy_library() -> None:
    code = (
        "import sys, photofinish.cli as c; "
        "heavy = {'torch', 'ultralytics', 'gradio', 'tritonclient', 'onnx'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("name", ["detect", "ui"])
def test_client_commands_need_no_torch(name: str) -> None:
    module = COMMANDS[name].partition(":")[0]
    code = (
        f"import sys, {module}; heavy = {{'torch', 'ultralytics', 'onnx'}} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
