"""An engine in the real embedded server, as far as a machine without a GPU can go."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from photofinish.errors import ModelRepositoryError
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from photofinish.server.triton.embedded import EmbeddedServer
from tests.builders import build_card
from tests.export.tensorrt.variants import engine_variant


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("device", "reason"),
    [("cuda", "no GPUs are available"), ("cpu", "is a TensorRT engine and needs an NVIDIA GPU")],
    ids=["as exported", "with the GPU struck out of its config"],
)
def test_engine_is_refused_without_a_gpu(tmp_path: Path, device: str, reason: str) -> None:
    """The config is read by Triton; the second goes on to our backend, which refuses for its own reason."""
    variant = engine_variant()
    directory = tmp_path / "repository" / variant.name
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.plan").write_bytes(b"engine")
    card = build_card(variant=variant.name, backend="tensorrt", precision="fp16", device=device)
    io = io_from_variant(variant, input_wh=(64, 64), raw_dims=(300, 6), task="detect")
    (directory / "config.pbtxt").write_text(config_from_variant(variant, card, io), encoding="utf-8")
    server = EmbeddedServer(tmp_path / "repository", log_path=tmp_path / "log", on_progress=lambda line: None)
    with pytest.raises(ModelRepositoryError, match=reason), server:
        pass
