"""The wheel in an environment of its own, whose processes cannot open any file of the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOMS = ("client", "export", "perf", "server")
NOT_SHIPPED = {
    "export/weights/README.md",
    "perf/run_cpu.sh",
    "perf/run_gpu.sh",
    "perf/run_perf.sh",
    "server/container",
}
"""What only a checkout needs, by its place."""
GUARD = """
import os, sys

def refuse(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(arguments[0])) + os.sep
        if path.startswith({checkout!r}) and not path.startswith({allowed!r}):
            raise PermissionError("a file of the checkout was asked for: " + path)

sys.addaudithook(refuse)
"""
"""Every Python process of the environment runs this first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A wheel and the environment it was installed into. home: an empty working folder."""

    wheel: Path
    scripts: Path
    home: Path

    def run(self, program: str, *arguments: str, timeout_s: float = 300) -> str:
        """What the environment's program prints; it must end well."""
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [str(self.scripts / program), *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


def copy_of_the_tree(target: Path) -> Path:
    """The sources without what was built or measured here, links kept."""
    left_out = {".git", ".photofinish", "results", "model_repository", "build", Path(sys.prefix).name}

    def ignored(folder: str, names: list[str]) -> list[str]:
        at_top = left_out if Path(folder) == CHECKOUT else set()
        return [name for name in names if name in at_top or name == "__pycache__" or name.endswith(".egg-info")]

    shutil.copytree(CHECKOUT, target, symlinks=True, ignore=ignored)
    return target


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """pip without any index: everything that is needed is here."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def build_wheel(tree: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(tree))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this tree, alone but for the libraries of the running environment."""
    folder = tmp_path_factory.mktemp("wheel")
    built = build_wheel(copy_of_the_tree(folder / "tree"), folder)
    assert built.returncode == 0, built.stderr
    shutil.rmtree(folder / "tree")
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    put = pip("--python", str(python), "install", "--no-index", "--no-deps", str(wheel))
    assert put.returncode == 0, put.stderr
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    # Only the folders of libraries: the .pth file in them that leads to the checkout is not read from here.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\nimport checkout_guard\n")
    # Ultralytics looks for the repository that it may lie in.
    allowed = (f"{sys.prefix}{os.sep}", f"{CHECKOUT / '.git'}{os.sep}")
    guard = GUARD.format(checkout=f"{CHECKOUT}{os.sep}", allowed=allowed)
    (packages / "checkout_guard.py").write_text(guard)
    home = folder / "home"
    home.mkdir()
    return Installed(wheel=wheel, scripts=environment / "bin", home=home)


def test_the_wheel_holds_the_rooms_and_nothing_beside_them(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    own = {f"photofinish/{place}" for place in files_below("photofinish")}
    rooms = {f"photofinish/{room}/{place}" for room in ROOMS for place in files_below(room)}
    unwanted = {f"photofinish/{place}" for place in NOT_SHIPPED}
    wanted = {
        name for name in own | rooms if not any(name == place or name.startswith(f"{place}/") for place in unwanted)
    }
    assert held == wanted


def files_below(folder: str) -> set[str]:
    """Places of the files, relative to the folder; a link to a folder is not followed."""
    top = CHECKOUT / folder
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_the_wheel_knows_its_extras(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(place).decode())
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(needed) == len(project["dependencies"])


def test_no_file_of_the_checkout_can_be_opened(installed: Installed) -> None:
    """The guard itself: without it the tests below would prove nothing."""
    look = f"import photofinish.server as s; print(s.__file__); open({str(CHECKOUT / 'variants.toml')!r})"
    place = installed.run("python", "-c", look.rpartition(";")[0]).strip()
    assert place.startswith(str(installed.scripts.parent))
    with pytest.raises(AssertionError, match="a file of the checkout was asked for"):
        installed.run("python", "-c", look)


def test_a_stranger_exports_serves_and_detects(installed: Installed) -> None:
    chosen = ("--weights", "demo", "--variant", "onnx_fp32", "--device", "cpu", "--no-gate")
    table = installed.run("photofinish", "export", *chosen)
    assert "demo_traffic_onnx_fp32" in table
    lines = installed.run("photofinish", "detect", "synthetic", "--frames", "2", "--json").splitlines()
    assert len(lines) == 2
    assert all(json.loads(line)["detections"] for line in lines)
    assert {path.name for path in installed.home.iterdir()} == {".photofinish", "model_repository"}


def test_a_record_is_drawn_again(installed: Installed, tmp_path: Path) -> None:
    record = shutil.copy(CHECKOUT / "results" / "cpu2_demo.json.gz", tmp_path)
    table = installed.run("photofinish", "perf", "report", str(record), "--out", str(tmp_path / "again.json"))
    assert "P95" in table
    assert {path.suffix for path in tmp_path.glob("again.*")} >= {".md", ".csv", ".html"}


def test_a_tree_that_lost_its_links_is_refused(tmp_path: Path) -> None:
    """Python's zipfile, and pip with it, unpacks a link as a file that holds its target's name."""
    tree = copy_of_the_tree(tmp_path / "tree")
    for room in ROOMS:
        (tree / "photofinish" / room).unlink()
        (tree / "photofinish" / room).write_text(f"../{room}")
    refused = build_wheel(tree, tmp_path)
    assert refused.returncode != 0
    assert "has lost its symbolic links" in refused.stderr + refused.stdout
    assert not list(tmp_path.glob("*.whl"))
