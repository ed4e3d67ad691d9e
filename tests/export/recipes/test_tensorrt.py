"""`photofinish export` makes engines for GPUs that are not here: calibrated, side by side, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import onnx
import pytest
from google.protobuf import text_format
from onnx import helper
from tritonclient.grpc import model_config_pb2

from photofinish.engine_record import require_engine
from photofinish.errors import ExportError
from photofinish.export.build import stage_variants
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.export.recipes.tensorrt import build_one_engine
from photofinish.export.tensorrt.engine import EngineRequest
from photofinish.synthetic import SyntheticCamera
from photofinish.variant import default_variants_path
from tests.export.tensorrt.fixtures import INPUT_SIZE
from tests.export.tensorrt.variants import engine_variant

pytestmark = pytest.mark.usefixtures("rtx")
PICTURES = 16


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration folder of the scenes that the demo detector knows."""
    folder = tmp_path_factory.mktemp("calibration")
    camera = SyntheticCamera(seed=3)
    for index in range(PICTURES):
        assert cv2.imwrite(str(folder / f"{index}.png"), camera.frame(90 * index).image_hwc_bgr)
    return folder


def test_engines_of_two_gpus_from_the_demo_weights(pictures: Path, tmp_path: Path) -> None:
    """The demo weights, calibrated INT8 beside FP16, SM120 beside SM89: what each layer is stands in the sidecar."""
    lines: list[str] = []
    staged = stage_variants(
        "demo",
        variants_path=default_variants_path(),
        names=("trt_fp16", "trt_int8"),
        targets=("sm120", "sm89"),
        calibration=pictures,
        input_size=INPUT_SIZE,
        model_name="toy",
        staging=tmp_path,
        on_progress=lines.append,
    )
    assert [item.variant.suffix for item in staged] == ["trt_fp16", "trt_int8"]
    for item, precision in zip(staged, ("fp16", "int8"), strict=True):
        for target, name in (("sm120", "model.plan"), ("sm89", "model_sm89.plan")):
            record = require_engine(item.directory / "1" / name, target=target, precision=precision, profile=(1, 8, 32))
            assert record.weight_shares[precision] >= (1.0 if precision == "fp16" else 0.6)
            assert "fp32" not in record.weight_shares
            # FP32 is left to the decoding of boxes alone.
            assert 0 < record.layer_outputs["fp32"] < 0.1 * record.layer_outputs["fp16"]
            assert bool(record.calibration_sha256) is (precision == "int8")
            assert record.rebuild == (
                f"photofinish export --weights demo --variant trt_{precision} --target sm120 --target sm89 "
                f"--model-name toy --input-size {INPUT_SIZE}"
                + (f" --calibration {pictures}" if precision == "int8" else "")
            )
        config = text_format.Parse((item.directory / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        assert dict(config.cc_model_filenames) == {"12.0": "model.plan", "8.9": "model_sm89.plan"}
        assert (config.max_batch_size, len(config.optimization.cuda.graph_spec)) == (32, 6)
    assert sum("for sm89 reads int8" in line for line in lines) == 1


def test_int8_without_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"INT8 of .* needs calibration frames .*`photofinish calibrate .*--calibration"
    ):
        stage_variants(
            "yolo26n.yaml",
            variants_path=default_variants_path(),
            names=("trt_int8",),
            targets=("sm120",),
            input_size=INPUT_SIZE,
            staging=tmp_path,
            on_progress=lambda line: None,
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_ctrl_c_in_the_middle_of_an_export_leaves_nothing(tmp_path: Path) -> None:
    """The whole command, interrupted as soon as it says that the build begins."""
    command = [sys.executable, "-m", "photofinish.cli", "export", "--weights", "demo", "--no-gate"]
    options = ["--variant", "trt_fp16", "--target", "sm120", "--target", "sm89", "--repository", str(tmp_path / "r")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3]), "PYTHONUNBUFFERED": "1"}
    export = subprocess.Popen(
        [*command, *options],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    stop = threading.Timer(120, export.kill)
    stop.start()
    try:
        assert export.stderr is not None
        said = []
        for line in export.stderr:
            said.append(line)
            if "for sm120 reads fp16" in line:
                export.send_signal(signal.SIGINT)
        assert export.wait() == 130, said
    finally:
        stop.cancel()
        export.kill()
        export.wait()
    assert "Traceback" not in "".join(said)
    left = [path.name for path in tmp_path.rglob("*") if path.suffix in (".plan", ".onnx", ".json", ".partial")]
    assert left == []


def test_graph_that_tensorrt_refuses_leaves_one_variant_out(context: BuildContext, tmp_path: Path) -> None:
    """A user's own graph may have what TensorRT lacks; the export goes on with the other variants."""
    model = onnx.load_from_string(context.frames_onnx.SerializeToString())
    output = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before_odd" if name == output else name for name in node.output]
    model.graph.node.append(helper.make_node("Identity", ["before_odd"], [output]))
    model.graph.node.append(helper.make_node("Unheard", ["before_odd"], ["lost"], name="odd_one", domain="example"))
    model.opset_import.append(helper.make_opsetid("example", 1))
    onnx.save(model, tmp_path / "odd.onnx")
    request = EngineRequest(target="sm120", timing_cache_dir=tmp_path)
    with pytest.raises(RecipeUnavailableError, match="operator Unheard at node 'odd_one'"):
        build_one_engine(tmp_path / "odd.onnx", engine_variant(), tmp_path / "1" / "model.plan", request)
    assert not (tmp_path / "1").exists()
