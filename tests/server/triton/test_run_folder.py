"""The backend package beside Triton: whole, and usable where nothing else of Photofinish is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.server.backend.engine import ENGINES
from photofinish.server.triton.files import TritonFiles
from photofinish.server.triton.run_folder import BACKEND, PACKAGE, fill_run_folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    files = TritonFiles(root=tmp_path / "triton", libpython=Path("libpython.so"))
    files.python_backend.mkdir(parents=True)
    files.stub.parent.mkdir(parents=True)
    files.stub.touch()
    (tmp_path / "run").mkdir()
    fill_run_folder(tmp_path / "run", files, tmp_path / "repository", ())
    return tmp_path / "run"


def sources(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_every_backend_holds_the_whole_package(run_folder: Path) -> None:
    ours = {path.name for path in (run_folder / "backends").iterdir()} - {"python"}
    assert ours == set(ENGINES)
    for name in ours:
        assert sources(run_folder / "backends" / name / PACKAGE) == sources(BACKEND)


def test_the_stub_finds_the_package_beside_it(run_folder: Path) -> None:
    """As Triton's stub does: the folder of model.py is on its path, and it brings a module of its own."""
    program = (
        "import sys, types\n"
        "sys.modules['triton_python_backend_utils'] = types.ModuleType('triton_python_backend_utils')\n"
        f"sys.path.append({str(run_folder / 'backends' / 'onnxruntime')!r})\n"
        "import model\n"
        "assert model.TritonPythonModel.execute\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'photofinish'))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
