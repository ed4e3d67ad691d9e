"""Compiled packages in the bare loop: the backend's own class in its own process, whose death ends nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from photofinish.errors import ConfigError
from photofinish.model_card import ModelCard
from photofinish.perf.engine import packages as engine_packages
from photofinish.perf.engine.loops import Artifact
from photofinish.perf.engine.measuring import measure_engines
from photofinish.perf.engine.packages import package_loop
from photofinish.perf.report.words import ENGLISH
from photofinish.server.triton.run_folder import BACKEND
from tests.builders import build_card
from tests.conftest import CompiledToy
from tests.perf.toy_repository import write_toy_repository

OPEN_MODEL = """
def open_model(arguments): return type("Model", (), {"device": "cpu"}), open_engine(arguments)
"""


@pytest.fixture
def card() -> ModelCard:
    return build_card(variant="toy_aoti_fp16", backend="pytorch", input_wh=(24, 16))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "toy_aoti_fp16" / "1"
    folder.mkdir(parents=True)
    (folder / "model_b1.pt2").touch()
    return folder


def dying_backend(folder: Path, program: str) -> Path:
    """A backend whose program does something fatal in place of an execution."""
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "model.py").write_text("class RefusedModelError(Exception): pass\n", encoding="utf-8")
    (folder / "engine.py").write_text(program + OPEN_MODEL, encoding="utf-8")
    return folder


def test_a_package_is_measured_by_the_backends_own_class(
    card: ModelCard, directory: Path, compiled_toy: CompiledToy
) -> None:
    shutil.copy(compiled_toy.packages[1], directory / "model_b1.pt2")
    (directory / "model.json").write_text(json.dumps({"torch": torch.__version__, "batch_sizes": [1]}))
    artifact = Artifact(card=card, directory=directory, backend_package=BACKEND)
    section = measure_engines([artifact], seconds=0.2, on_progress=lambda line: None)
    assert [arm.model for arm in section.arms] == ["toy_aoti_fp16"], section.not_run
    samples = section.blocks[0].samples
    assert samples.completed_count > 10
    assert samples.window_ns >= 0.2e9
    assert (samples.latency_ns > 0).all()


def test_what_the_server_would_refuse_is_said(card: ModelCard, directory: Path) -> None:
    (directory / "model.json").write_text(json.dumps({"torch": "2.0.0", "batch_sizes": [1]}))
    with (
        pytest.raises(ConfigError, match=r"server would refuse toy_aoti_fp16: .* made for torch 2\.0\.0"),
        package_loop(card, directory, 1, seed=0, backend_package=BACKEND),
    ):
        pass


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            "its process was ended by SIGSEGV; export it again",
        ),
        ("def open_engine(model): raise RuntimeError('no such kernel')", r'exit code 1, saying "RuntimeError: no such'),
        (
            "import os, sys\nclass Engine:\n    runs = 0\n    def run_arrays(self, arrays):\n        self.runs += 1\n"
            "        print('chatter')\n        if self.runs > 5: os.abort()\ndef open_engine(model): return Engine()",
            "its process was ended by SIGABRT",
        ),
    ],
    ids=["at load", "exception", "in the loop"],
)
def test_a_crash_is_one_line_and_the_rest_goes_on(
    card: ModelCard, directory: Path, tmp_path: Path, program: str, said: str
) -> None:
    write_toy_repository(tmp_path)
    crashing = Artifact(card=card, directory=directory, backend_package=dying_backend(tmp_path / "backend", program))
    healthy = Artifact(card=build_card(), directory=tmp_path / "toy_onnx_fp32" / "1")
    lines: list[str] = []
    section = measure_engines([crashing, healthy], seconds=0.05, on_progress=lines.append)
    assert [arm.model for arm in section.arms] == ["toy_onnx_fp32"]
    (item,) = section.not_run
    assert ENGLISH.why(item).startswith("toy_aoti_fp16 was not measured: ")
    assert said.replace("\\", "") in ENGLISH.why(item)
    assert sum("not run" in line for line in lines) == 1


def test_a_process_that_never_answers_is_ended(card: ModelCard, directory: Path, tmp_path: Path) -> None:
    backend = dying_backend(tmp_path / "backend", "import time\ntime.sleep(60)")
    with (
        pytest.raises(ConfigError, match=r"no answer from its process in 0\.2 s"),
        package_loop(card, directory, 1, seed=0, backend_package=backend, load_timeout_s=0.2),
    ):
        pass


def test_a_process_that_hangs_up_and_lives_on_is_ended(
    card: ModelCard, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_packages, "_END_TIMEOUT_S", 0.2)
    program = "import os, time\nos.closerange(3, 256)\ntime.sleep(60)"
    with (
        pytest.raises(ConfigError, match="was ended by SIGKILL"),
        package_loop(card, directory, 1, seed=0, backend_package=dying_backend(tmp_path / "backend", program)),
    ):
        pass
