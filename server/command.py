"""The tritonserver command line."""

from __future__ import annotations

from pathlib import Path

from server.ports import LOOPBACK, Ports
from server.triton_files import TritonFiles

STUB_TIMEOUT_S = 600
"""How long a backend may take to load: engine load and the warm-up of every batch size."""


def tritonserver_command(
    files: TritonFiles, repository: Path, models: tuple[str, ...], run_folder: Path, ports: Ports, *, shm_prefix: str
) -> list[str]:
    """The command that serves `models` of `repository` on loopback only.

    A model that cannot be loaded leaves the server running, so that it can be asked for the reason.
    """
    return [
        str(files.binary),
        f"--model-repository={repository}",
        f"--backend-directory={run_folder / 'backends'}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models),
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
    ]
