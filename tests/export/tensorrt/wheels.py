"""TensorRT's own wheels from the package index, kept in the user's cache, for comparing names."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from photofinish.machine.disk import user_cache_dir

TENSORRT_10 = "10.16.1.11"
TENSORRT_11 = "11.4.0.106"


def unpacked(requirement: str) -> Path:
    """The unpacked wheel for this Python; downloaded on the first call. The test is skipped where it cannot be had."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = user_cache_dir() / "tests" / f"{requirement.replace('==', '-')}-{tag}"
    if not (folder / "unpacked").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        run = subprocess.run(
            [*command, "--dest", str(folder), requirement], capture_output=True, text=True, timeout=200, check=False
        )
        wheels = list(folder.glob("*.whl"))
        if run.returncode or not wheels:
            pytest.skip(f"{requirement} cannot be downloaded: {run.stderr.strip().splitlines()[-1:]}")
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extractall(folder / "unpacking")
        (folder / "unpacking").rename(folder / "unpacked")
    return folder / "unpacked"
