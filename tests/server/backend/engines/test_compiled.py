"""AOTInductor's packages as the pytorch backend loads them: the right values, and a refusal on another torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from photofinish.server.backend.engines.torch_programs import check_made_for, load_program
from photofinish.server.backend.model import ConfiguredModel, Io, RefusedModelError
from tests.conftest import CompiledToy


def model_of(folder: Path, *, max_batch_size: int = 1, **sidecar: object) -> ConfiguredModel:
    facts = {"torch": torch.__version__, "batch_sizes": [1], **sidecar}
    (folder / "model.json").write_text(json.dumps(facts))
    return ConfiguredModel(
        name="compiled",
        folder=folder,
        file_name="model.pt",
        inputs=(Io("INPUT__0", np.dtype(np.uint8), (16, 24, 3)),),
        outputs=(Io("OUTPUT__0", np.dtype(np.float32), (300, 6)),),
        max_batch_size=max_batch_size,
        device="cpu",
        device_id=0,
        instance_count=1,
        card={"batch_buckets": [1]},
    )


def test_compiled_package_computes(compiled_toy: CompiledToy, tmp_path: Path) -> None:
    shutil.copy(compiled_toy.packages[1], tmp_path / "model_b1.pt2")
    program = load_program(model_of(tmp_path))
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8))
    (found,) = program.run(1, [frames])
    with torch.no_grad():
        np.testing.assert_allclose(found.numpy(), compiled_toy.network(frames).numpy(), atol=1e-5)


def test_package_for_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedModelError, match=r"made for torch 2\.0\.0, found .*; run `photofinish export`"):
        load_program(model_of(tmp_path, torch="2.0.0"))
    with pytest.raises(RefusedModelError, match=r"packages for the batch sizes \[1, 4\], the config prepares \[1\]"):
        load_program(model_of(tmp_path, batch_sizes=[1, 4]))
    with pytest.raises(RefusedModelError, match="on the CPU nothing is padded, so every size up to 4 needs one"):
        load_program(model_of(tmp_path, max_batch_size=4, batch_sizes=[1, 4]))
    with pytest.raises(RefusedModelError, match=r"model\.json cannot be read"):
        load_program(model_of(tmp_path, batch_sizes=["many"]))
    with pytest.raises(RefusedModelError, match=r"made for gpu NVIDIA A10, found NVIDIA H100"):
        check_made_for({"torch": "2", "gpu": "NVIDIA A10"}, {"torch": "2", "gpu": "NVIDIA H100"})
