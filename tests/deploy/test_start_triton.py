"""server/container/start_triton.sh: the flags it passes, by what the server's own --help knows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose import CHECKOUT, compose_document

SCRIPT = CHECKOUT / "server" / "container" / "start_triton.sh"


def flags_passed(tmp_path: Path, help_text: str, *arguments: str) -> list[str]:
    """The arguments that a `tritonserver` with this help text was started with."""
    binary = tmp_path / "tritonserver"
    binary.write_text(
        f'#!/bin/sh\nif [ "$1" = --help ]; then echo "{help_text}"; exit 0; fi\nprintf "%s\\n" "$@"\n',
        encoding="utf-8",
    )
    binary.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MODEL_REPOSITORY": "/somewhere"}
    run = subprocess.run(
        [str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=10, check=True
    )
    return run.stdout.split()


@pytest.mark.parametrize(
    ("help_text", "expected"),
    [("  --allow-client-shm <boolean>", True), ("  --model-repository <string>", False)],
    ids=["26.04 and newer", "older"],
)
def test_client_shared_memory_is_allowed_where_the_flag_exists(tmp_path: Path, help_text: str, expected: bool) -> None:
    assert ("--allow-client-shm=true" in flags_passed(tmp_path, help_text)) is expected


def test_readiness_is_strict_and_cloud_endpoints_are_off(tmp_path: Path) -> None:
    flags = flags_passed(tmp_path, "", "--log-verbose=1")
    assert flags[0] == "--model-repository=/somewhere"
    assert {"--strict-readiness=true", "--allow-vertex-ai=false", "--allow-sagemaker=false"} <= set(flags)
    assert flags[-1] == "--log-verbose=1"


def test_compose_runs_this_script() -> None:
    service = compose_document()["services"]["triton"]
    assert service["command"] == ["/start_triton.sh"]
    assert "./server/container/start_triton.sh:/start_triton.sh:ro" in service["volumes"]
    assert os.access(SCRIPT, os.X_OK)
