"""The GPU paths of the backends: the CPU's values under mixed batch sizes and 32 clients, from all kinds of memory."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from photofinish.server.triton.embedded import EmbeddedServer
from tests.server.asking import asking
from tests.server.backend.test_refusals import infer
from tests.server.models import (
    TORCH_IO,
    config_text,
    random_frames,
    save_doubling_onnx,
    save_doubling_torchscript,
    write_model,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="no NVIDIA GPU answers nvidia-smi"),
]
CARD = (
    'parameters { key: "photofinish" value { string_value: '
    '"{\\"device\\": \\"cuda\\", \\"cuda_graphs\\": %s, \\"batch_buckets\\": [1, 2, 4, 8]}" } }\n'
    'parameters { key: "FORCE_CPU_ONLY_INPUT_TENSORS" value { string_value: "no" } }'
)
NAMES = {"onnx": ("frames", "detections"), "torch": ("INPUT__0", "OUTPUT__0")}


@pytest.fixture(scope="module")
def gpu_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("gpu")
    for graphs in ("true", "false"):
        config = config_text(f"onnx_{graphs}", "onnxruntime", extra=CARD % graphs)
        path = write_model(folder / "models", f"onnx_{graphs}", config.replace("KIND_CPU", "KIND_GPU"))
        save_doubling_onnx(path)
        config = config_text(f"torch_{graphs}", "pytorch", extra=CARD % graphs, **TORCH_IO)
        path = write_model(folder / "models", f"torch_{graphs}", config.replace("KIND_CPU", "KIND_GPU"), "model.pt")
        save_doubling_torchscript(path)
    with EmbeddedServer(folder / "models", log_path=folder / "log") as server:
        yield server


@pytest.mark.parametrize(("backend", "graphs"), itertools.product(NAMES, ("true", "false")))
def test_every_client_gets_its_own_rows(gpu_server: EmbeddedServer, backend: str, graphs: str) -> None:
    given, wanted = NAMES[backend]
    with asking(gpu_server.endpoint.grpc_url) as client:

        def is_right(seed: int) -> bool:
            frames = random_frames(seed, 1 + seed % 8)
            found = infer(client, f"{backend}_{graphs}", **{given: frames}).as_numpy(wanted)
            return np.array_equal(found, frames.astype(np.float32) * 2)

        with ThreadPoolExecutor(32) as pool:
            assert all(pool.map(is_right, range(500)))


def test_memory_is_reported(gpu_server: EmbeddedServer) -> None:
    log = Path(gpu_server.log_path).read_text()
    assert "onnx_true on cuda:0: gpu memory of one model instance" in log
