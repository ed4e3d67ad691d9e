"""The scripts for a GPU, without one: what they would run, and that every command and option of it exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SCRIPT, STANDARD_SET = EXPERIMENTS / "run_gpu.sh", EXPERIMENTS / "gpu_standard_set.sh"
CAMERAS = EXPERIMENTS / "gpu_cameras.sh"
FIND = ("photofinish.cli", "perf", "cameras")
RECORDER = """#!/bin/sh
echo "${{CUDA_VISIBLE_DEVICES:-all}} $*" >> {log}
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A `python` that writes down how it was called, and an `nvidia-smi` of a machine with four GPUs."""
    for name, text in (
        ("python", RECORDER.format(log=tmp_path / "log")),
        ("nvidia-smi", "#!/bin/sh\nprintf '0\\n1\\n2\\n3\\n'\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run_script(programs: Path, *steps: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    found = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHON": str(programs / "python")}
    found["OUT"] = str(programs / "out")
    return subprocess.run([script, *steps], capture_output=True, text=True, timeout=60, check=False, env=found)


@cache
def help_of(*command: str) -> str:
    return subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("script", "count"), [(SCRIPT, 13), (STANDARD_SET, 5), (CAMERAS, 7)])
def test_every_command_and_option_exists(programs: Path, script: Path, count: int) -> None:
    done = run_script(programs, script=script)
    assert done.returncode == 0, done.stderr
    calls = (programs / "log").read_text().splitlines()
    assert len(calls) == count
    for call in calls:
        words = call.split()[2:]
        command = [words[0]]
        while words[0] == "photofinish.cli" and not words[len(command)].startswith("-"):
            command.append(words[len(command)])
        offered = help_of(*command)
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", offered), f"{' '.join(command)} has no {option}"


@pytest.mark.parametrize("script", [SCRIPT, STANDARD_SET])
def test_every_variant_exists(programs: Path, script: Path) -> None:
    from photofinish.variant import default_variants_path, variants_from_toml

    assert run_script(programs, "export", script=script).returncode == 0
    known = {item.suffix for item in variants_from_toml(default_variants_path(), model="m")}
    named = set(re.findall(r"--variant[= ](\S+)", (programs / "log").read_text()))
    assert len(named) > 4
    assert named <= known


def test_only_the_named_steps_run_and_scaling_takes_one_two_and_four_gpus(programs: Path) -> None:
    assert run_script(programs, "scale").returncode == 0
    calls = (programs / "log").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["0", "0,1", "0,1,2,3"]
    assert {path.name for path in (programs / "out").iterdir()} == {f"gpu_scale_{count}.json" for count in (1, 2, 4)}


COMPARER = """#!/bin/sh
echo "$*" >> {folder}/log
case "$*" in
  *several_gpus*--out*) exit 0 ;;
  *several_gpus*two_gpus.json*) [ -e {folder}/two ] ;;
  *several_gpus*) [ -e {folder}/one ] && echo "304 352" ;;
  *--find*one_gpu.json*) touch {folder}/one ;;
  *--find*two_gpus.json*) touch {folder}/two ;;
esac
"""


def test_two_gpus_are_searched_after_one_from_what_it_found_and_what_is_over_is_not_run_again(programs: Path) -> None:
    (programs / "python").write_text(COMPARER.format(folder=programs))
    done = run_script(programs, "two", script=CAMERAS)
    assert done.returncode == 0, done.stdout + done.stderr
    searches = [call for call in (programs / "log").read_text().splitlines() if "--find" in call]
    assert [re.findall(r"--(?:gpus|start|most) (\S+)", call) for call in searches] == [
        ["0", "160", "400"],
        ["0,1", "304", "352"],
    ]
    for call in searches:
        assert 3.5 < float(re.findall(r"--minutes (\S+)", call)[0]) <= 9
        assert set(re.findall(r"--[\w-]+", call)) <= set(re.findall(r"--[\w-]+", help_of(*FIND)))
    assert run_script(programs, "two", script=CAMERAS).returncode == 0
    assert len([call for call in (programs / "log").read_text().splitlines() if "--find" in call]) == 2


@pytest.mark.parametrize("script", [SCRIPT, STANDARD_SET, CAMERAS])
def test_an_unknown_step_is_refused(programs: Path, script: Path) -> None:
    done = run_script(programs, "everything", script=script)
    assert (done.returncode, "unknown step everything; there are export" in done.stderr) == (2, True)
