"""The whole bridge under sanitizers: requests that no client should make, a model process that answers nonsense, and
models that come and go in a process that they share.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.machine.compiler import built_from_sources, find_compiler
from photofinish.server.bridge.build import GUARD, bridge_library
from photofinish.server.triton.run_folder import BACKEND, PACKAGE
from tests.server.bridge.sanitized import SANITIZED_SECONDS, Compile
from tests.server.models import save_mean

REQUESTS = int(os.environ.get("PHOTOFINISH_FUZZ_REQUESTS", "1000"))
"""Set it to any number; CONTRIBUTING.md has the command for other seeds."""
SEED = int(os.environ.get("PHOTOFINISH_FUZZ_SEED", "1"))
CONFIG = {
    "name": "mean",
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "input": [{"name": "frames", "data_type": "TYPE_UINT8", "dims": [64, 64, 3]}],
    "output": [{"name": "detections", "data_type": "TYPE_FP32", "dims": [1, 6]}],
    "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
    # More than a socket's buffer holds, as the names of ImageNet-21k are.
    "parameters": {"names": {"string_value": "name " * 100_000}},
}


@pytest.fixture(scope="module")
def program(compile_sanitized: Compile) -> Path:
    return compile_sanitized("bridge_fuzz.cpp", "*.cpp", beside=["fake_triton.cpp", "bridge_group.cpp"])


def fuzz(program: Path, folder: Path, mode: str, lanes: int) -> dict[str, int]:
    """The counts that the program ends with; a fault that a sanitizer finds ends it before."""
    save_mean(folder / "models", "mean")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    repository = folder / "models" / "mean"
    words = [program, folder / "backend", repository, folder / "config.json", SEED + lanes, REQUESTS, mode]
    environment = {**os.environ, "PHOTOFINISH_PYTHON": sys.executable, "PHOTOFINISH_LANES": str(lanes)}
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=SANITIZED_SECONDS + REQUESTS / 10, env=environment
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    assert "wrong:" not in done.stdout, done.stdout[-3000:]
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", done.stdout.splitlines()[-1])}


def copy_backend(folder: Path) -> None:
    shutil.copytree(BACKEND, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    library = bridge_library(lambda line: None)
    assert library is not None
    shutil.copy2(library.with_name(GUARD), folder / GUARD)


@pytest.mark.parametrize("lanes", [1, 2])
def test_honest_requests_beside_hostile_ones_are_answered_rightly(program: Path, tmp_path: Path, lanes: int) -> None:
    copy_backend(tmp_path / "backend")
    counts = fuzz(program, tmp_path, "clients", lanes)
    assert counts["asked"] >= REQUESTS
    assert counts["honest"] == counts["right"] > REQUESTS // 2
    assert counts["refused"] > REQUESTS // 10
    assert counts["strange"] == 0, "a request was answered, or let go of, not once"
    assert counts["disordered"] == 0, "the time of two executions overlaps"


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_model_process_is_not_believed(program: Path, tmp_path: Path, lanes: int) -> None:
    script = tmp_path / "backend" / PACKAGE / "lane" / "process.py"
    script.parent.mkdir(parents=True)
    shutil.copy2(Path(__file__).with_name("hostile_process.py"), script)
    counts = fuzz(program, tmp_path, "process", lanes)
    assert counts["asked"] >= REQUESTS
    assert counts["refused"] > REQUESTS // 2
    assert counts["strange"] == 0


def test_one_goes_and_comes_again_while_another_in_its_process_serves(program: Path, tmp_path: Path) -> None:
    copy_backend(tmp_path / "backend")
    for name in ("first", "second", "broken"):
        save_mean(tmp_path / "models", name)
        (tmp_path / "models" / name / "config.json").write_text(json.dumps({**CONFIG, "name": name}))
    (tmp_path / "models" / "broken" / "1" / "model.onnx").unlink()
    environment = {"PHOTOFINISH_PYTHON": sys.executable, "PHOTOFINISH_GROUP": "1", "PHOTOFINISH_SPARE": "off"}
    words = [str(program), str(tmp_path / "backend"), str(tmp_path / "models")]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=SANITIZED_SECONDS, env={**os.environ, **environment}
    )
    assert (done.returncode, done.stdout) == (0, "0 wrong\n"), f"{done.stdout}\n{done.stderr[-6000:]}"


def test_a_copy_of_a_request_that_failed_does_not_write_into_the_next_one(program: Path, tmp_path: Path) -> None:
    """On a driver that copies as late as it may."""
    copy_backend(tmp_path / "backend")
    save_mean(tmp_path / "models", "first")
    (tmp_path / "models" / "first" / "config.json").write_text(json.dumps({**CONFIG, "name": "first"}))
    compiler = find_compiler()
    assert compiler is not None
    driver = Path(__file__).with_name("fake_cuda.cpp")
    built_from_sources(compiler, ("-std=c++17", "-shared", "-fPIC"), [driver], tmp_path / "libcuda.so.1")
    environment = {"PHOTOFINISH_PYTHON": sys.executable, "PHOTOFINISH_SPARE": "off", "LD_LIBRARY_PATH": str(tmp_path)}
    words = [str(program), str(tmp_path / "backend"), str(tmp_path / "models"), "gpu"]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=SANITIZED_SECONDS, env={**os.environ, **environment}
    )
    assert (done.returncode, done.stdout) == (0, "0 wrong\n"), f"{done.stdout}\n{done.stderr[-6000:]}"
