"""On a GPU that a TensorRT here knows: what it builds, served, answers as the FP32 graph does on the CPU."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from photofinish.errors import ExportError
from photofinish.export.build import stage_variants
from photofinish.export.graph.parity import parity_from_rows
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.publishing.publish import publish_variants
from photofinish.export.recipes.context import BuildContext
from photofinish.export.tensorrt.library import choose_library, provider_problem
from photofinish.export.tensorrt.targets import gpu_at_hand
from photofinish.letterbox import letterboxed_from_image
from photofinish.perf.engine.loops import Artifact
from photofinish.perf.engine.measuring import measure_engines
from photofinish.server.triton.embedded import EmbeddedServer
from photofinish.server.triton.run_folder import BACKEND
from photofinish.synthetic import SyntheticCamera
from photofinish.variant import default_variants_path
from tests.export.tensorrt.fixtures import INPUT_SIZE
from tests.server.asking import asking
from tests.server.backend.test_refusals import infer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="no NVIDIA GPU answers nvidia-smi"),
]
FRAMES = 40


def require_tensorrt(suffix: str) -> None:
    """Skip with the reason where this machine has no TensorRT for its GPU, or none that ONNX Runtime finds."""
    if suffix == "onnx_fp16_trt":
        problem = str(provider_problem() or "")
    else:
        try:
            choose_library(None, gpu_at_hand())
        except ExportError as exc:
            problem = str(exc)
        else:
            problem = ""
    if problem:
        pytest.skip(problem)


def synthetic_frames() -> npt.NDArray[np.uint8]:
    camera = SyntheticCamera(seed=5)
    pictures = (camera.frame(30 * index).image_hwc_bgr for index in range(FRAMES))
    return np.stack(
        [letterboxed_from_image(item, (INPUT_SIZE, INPUT_SIZE), swap_channels=True)[0] for item in pictures]
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("suffix", ["trt_fp16", "onnx_fp16_trt"])
def test_what_is_built_here_answers_as_fp32_does(suffix: str, context: BuildContext, tmp_path: Path) -> None:
    """Every batch size, several clients at once; then the same engine in the bare loop."""
    require_tensorrt(suffix)
    lines: list[str] = []
    (staged,) = stage_variants(
        "demo",
        variants_path=default_variants_path(),
        names=(suffix,),
        device="cuda",
        input_size=INPUT_SIZE,
        model_name="toy",
        staging=tmp_path / "staging",
        on_progress=lines.append,
    )
    repository = tmp_path / "repository"
    publish_variants([staged], repository)
    frames = synthetic_frames()
    reference = output_from_onnx(context.frames_onnx, frames)
    starts = [(start, 1 + start % 9) for start in range(FRAMES - 9)]
    with (
        EmbeddedServer(repository, ready_timeout_s=800, log_path=tmp_path / "log", on_progress=lines.append) as server,
        asking(server.endpoint.grpc_url) as client,
        ThreadPoolExecutor(8) as pool,
    ):

        def answer(start: int, size: int) -> npt.NDArray[np.float32]:
            found = infer(client, staged.variant.name, frames=frames[start : start + size]).as_numpy("detections")
            return np.asarray(found, np.float32)

        answers = list(pool.map(lambda item: answer(*item), starts))
    for (start, size), found in zip(starts, answers, strict=True):
        parity = parity_from_rows(found, reference[start : start + size])
        assert parity.min_iou > 0.9, (start, size, parity)
        assert parity.max_confidence_difference < 0.05, (start, size, parity)
    artifact = Artifact(card=staged.card, directory=repository / staged.variant.name / "1", backend_package=BACKEND)
    section = measure_engines([artifact], batch_sizes=(1, 8), seconds=0.5, on_progress=lines.append)
    assert [arm.batch_size for arm in section.arms] == [1, 8], lines
