"""TorchScript modules as the pytorch backend loads them: what disagrees with the config is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from photofinish.server.backend.batches import check_outputs
from photofinish.server.backend.engines.torch_programs import check_results, load_program
from photofinish.server.backend.model import ConfiguredModel, Io, RefusedModelError
from tests.server.models import random_frames, save_doubling_torchscript

FRAMES = Io("INPUT__0", np.dtype(np.uint8), (8, 8, 3))
DETECTIONS = Io("OUTPUT__0", np.dtype(np.float32), (8, 8, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("module")
    save_doubling_torchscript(path / "model.pt")
    return path


def model_of(folder: Path, **changes: object) -> ConfiguredModel:
    values: dict[str, object] = {
        "name": "toy",
        "folder": folder,
        "file_name": "model.pt",
        "inputs": (FRAMES,),
        "outputs": (DETECTIONS,),
        "max_batch_size": 8,
        "device": "cpu",
        "device_id": 0,
        "instance_count": 1,
    }
    return ConfiguredModel(**{**values, **changes})  # type: ignore[arg-type]


def run_on_arrays(model: ConfiguredModel, arrays: list[np.ndarray]) -> list[np.ndarray]:
    tensors = [torch.from_numpy(array) for array in arrays]
    return [result.numpy() for result in load_program(model).run(len(arrays[0]), tensors)]


@pytest.mark.parametrize("name", ["INPUT__0", "frames"])
def test_inputs_go_by_number_or_by_the_arguments_name(folder: Path, name: str) -> None:
    model = model_of(folder, inputs=(Io(name, FRAMES.dtype, FRAMES.dims),))
    frames = random_frames(0, 3)
    np.testing.assert_array_equal(run_on_arrays(model, [frames])[0], frames.astype(np.float32) * 2)


def test_an_input_that_the_module_does_not_have_is_refused(folder: Path) -> None:
    # The genuine backend crashes the whole server on this one, at the first request.
    with pytest.raises(RefusedModelError, match=r"inputs \['INPUT__5'\]; .* name them \['INPUT__0'\] or \['frames'\]"):
        load_program(model_of(folder, inputs=(Io("INPUT__5", FRAMES.dtype, FRAMES.dims),)))


def test_an_output_without_its_number_is_refused(folder: Path) -> None:
    with pytest.raises(RefusedModelError, match=r"outputs \['result'\], expected \['OUTPUT__0'\]"):
        load_program(model_of(folder, outputs=(Io("result", DETECTIONS.dtype, DETECTIONS.dims),)))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (Io("OUTPUT__0", DETECTIONS.dtype, (8, 8, 4)), r"is float32 with shape \(1, 8, 8, 3\) for a batch of 1"),
        (Io("OUTPUT__0", np.dtype(np.float16), (8, 8, 3)), "config.pbtxt states float16"),
    ],
)
def test_outputs_other_than_configured_are_refused(folder: Path, output: Io, words: str) -> None:
    model = model_of(folder, outputs=(output,))
    with pytest.raises(RefusedModelError, match=words):
        check_outputs(model, lambda arrays: run_on_arrays(model, arrays))


def test_too_few_results_are_refused(folder: Path) -> None:
    outputs = (DETECTIONS, Io("OUTPUT__1", DETECTIONS.dtype, DETECTIONS.dims))
    model = model_of(folder, outputs=outputs)
    with pytest.raises(RefusedModelError, match=r"the program returned 1 results, config.pbtxt names 2"):
        check_outputs(model, lambda arrays: run_on_arrays(model, arrays))


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedModelError, match=r"model\.pt does not exist; export the model again"):
        load_program(model_of(tmp_path))
    (tmp_path / "model.pt").write_text("no")
    with pytest.raises(RefusedModelError, match="cannot load"):
        load_program(model_of(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(RefusedModelError, match=r"configured for a GPU and torch .* finds none"):
        load_program(model_of(folder, device="cuda"))


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (torch.zeros(2, 8, 8, 3, dtype=torch.float16), "is torch.float16 with shape"),
        (torch.zeros(1, 8, 8, 3), r"shape \(1, 8, 8, 3\) for a batch of 2, config.pbtxt states float32"),
        (torch.zeros(2, 8, 8), r"with shape \(2, 8, 8\) for a batch of 2"),
    ],
    ids=["dtype", "fixed batch", "rank"],
)
def test_results_that_a_gpu_would_copy_as_something_else_are_refused(
    folder: Path, result: torch.Tensor, said: str
) -> None:
    model = model_of(folder)
    check_results(model, 2, [torch.zeros(2, 8, 8, 3)])
    with pytest.raises(RefusedModelError, match=said):
        check_results(model, 2, [result])
