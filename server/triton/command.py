"""The tritonserver command line."""

from __future__ import annotations

from pathlib import Path

from photofinish.access.token import HTTP_HEADER
from photofinish.machine.addresses import LOOPBACK
from photofinish.machine.disk import free_bytes
from photofinish.server.triton.files import TritonFiles
from photofinish.server.triton.ports import Ports
from photofinish.server.triton.supervisor import SHARED_MEMORY

STUB_TIMEOUT_S = 600
"""How long a backend may take to load: engine load and the warm-up of every batch size."""


MAX_REGION_BYTES = 64 << 20
"""Shared memory that each backend process begins with: room for 32 pictures of 640 × 640, so that it need not grow."""
MIN_REGION_BYTES = 1 << 20
GUARDED = (
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
"""What wants the token: all that Triton can guard but its health, which load balancers ask for without one."""


def region_bytes(model_count: int, free_bytes: int) -> int:
    """How much shared memory each backend process begins with, when a quarter of what is free may be taken."""
    share = free_bytes // 4 // max(model_count, 1)
    return max(MIN_REGION_BYTES, min(MAX_REGION_BYTES, share >> 20 << 20))


def tritonserver_command(
    files: TritonFiles, run_folder: Path, ports: Ports, *, model_count: int, shm_prefix: str
) -> list[str]:
    """The command that serves the models of the run folder on loopback only.

    A model that cannot be loaded leaves the server running, so that it can be asked for the reason. Anybody who reaches
    the ports is let in; `guards` adds who is not.
    """
    return [
        str(files.binary),
        f"--model-repository={run_folder / 'models'}",
        f"--backend-directory={run_folder / 'backends'}",
        # Whoever may load a model may send its code along, and any page in a browser on this machine can ask.
        "--model-control-mode=none",
        "--exit-on-error=false",
        "--disable-auto-complete-config",
        f"--http-address={LOOPBACK}",
        f"--http-port={ports.http}",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={ports.metrics}",
        # Triton 2.51 predates fixes to these two endpoints.
        "--allow-vertex-ai=false",
        "--allow-sagemaker=false",
        "--metrics-config=summary_latencies=true",
        "--metrics-config=summary_quantiles=0.5:0.05,0.95:0.001,0.99:0.001",
        "--exit-timeout-secs=5",
        f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_S}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--backend-config=python,shm-default-byte-size={region_bytes(model_count, free_bytes(SHARED_MEMORY))}",
    ]


def guards(token: str) -> dict[str, str]:
    """The options that let nobody in who does not show the token, each under the environment variable that holds it.

    Triton takes a token in an option alone, from no file and no variable; see `photofinish.access.hidden_words`.
    """
    if not token:
        return {}
    guard = f"{','.join(GUARDED)}:{HTTP_HEADER}={token}"
    return {
        "PHOTOFINISH_HTTP_GUARD": f"--http-restricted-api={guard}",
        "PHOTOFINISH_GRPC_GUARD": f"--grpc-restricted-protocol={guard}",
    }
