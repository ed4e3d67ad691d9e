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
from tests.server.models import Doubling, random_frames


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("g++"):
        pytest.skip("no g++ here, which AOTInductor compiles with on a CPU")
    path = tmp_path_factory.mktemp("package") / "model_b1.pt2"
    program = torch.export.export(Doubling(), (torch.zeros(1, 8, 8, 3, dtype=torch.uint8),))
    torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return path


def model_of(folder: Path, *, max_batch_size: int = 1, **sidecar: object) -> ConfiguredModel:
    facts = {"torch": torch.__version__, "batch_sizes": [1], **sidecar}
    (folder / "model.json").write_text(json.dumps(facts))
    return ConfiguredModel(
        name="compiled",
        folder=folder,
        file_name="model.pt",
        inputs=(Io("INPUT__0", np.dtype(np.uint8), (8, 8, 3)),),
        outputs=(Io("OUTPUT__0", np.dtype(np.float32), (8, 8, 3)),),
        max_batch_size=max_batch_size,
        device="cpu",
        device_id=0,
        instance_count=1,
        card={"batch_buckets": [1]},
    )


def test_compiled_package_computes(package: Path) -> None:
    program = load_program(model_of(package.parent))
    frames = random_frames(0, 1)
    (found,) = program.run(1, [torch.from_numpy(frames)])
    np.testing.assert_array_equal(found.numpy(), frames.astype(np.float32) * 2)


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
