"""Real engines, built by tensorrt_rtx for GPUs that are not here."""

from __future__ import annotations

import io
import os
import resource
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import onnx
import pytest
from onnx import TensorProto, helper

from photofinish.cli import cli
from photofinish.engine_record import record_from_engine, require_engine
from photofinish.errors import ConfigError, ExportError
from photofinish.export.build import StagedVariant, stage_variants
from photofinish.export.publishing.publish import publish_variants
from photofinish.export.publishing.staging import told_when_full
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.export.recipes.tensorrt import build_one_engine
from photofinish.export.tensorrt.build import (
    attach_timing_cache,
    keep_timing_cache,
    profile_from_buckets,
    timing_cache_name,
)
from photofinish.export.tensorrt.engine import EngineRequest, check_precision_on_target, engine_from_onnx
from photofinish.export.tensorrt.graph import fp16_model_around_int8
from photofinish.export.tensorrt.library import TensorRTLibrary, choose_library
from photofinish.export.tensorrt.progress import build_bar, tensorrt_logger
from photofinish.export.tensorrt.targets import Gpu, target_from_text
from photofinish.source_hash import sha256_from_file
from photofinish.variant import default_variants_path
from tests.builders import build_card
from tests.export.tensorrt.fixtures import INPUT_SIZE
from tests.export.tensorrt.variants import engine_variant

pytestmark = pytest.mark.usefixtures("rtx")


def build(onnx_path: Path, destination: Path, precision: str = "fp16", *, target: str = "sm120") -> list[str]:
    """Build with the timing cache in the destination's own folder's parent; the progress lines."""
    lines: list[str] = []
    request = EngineRequest(
        target=target,
        timing_cache_dir=destination.parent.parent / "timing",
        rebuild="photofinish export --variant trt",
        on_progress=lines.append,
    )
    engine_from_onnx(onnx_path, engine_variant(precision), destination, request)
    return lines


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("precision", "target"),
    [("fp16", "sm120"), ("fp16", "sm89"), ("int8", "sm120"), ("int8", "sm89"), ("fp8", "sm120")],
)
def test_engine_builds_for_a_gpu_that_is_not_here(
    precision: str, target: str, request: pytest.FixtureRequest, tmp_path: Path, rtx: TensorRTLibrary
) -> None:
    onnx_path: Path = request.getfixturevalue(f"{precision}_path")
    destination = tmp_path / "1" / "model.plan"
    lines = build(onnx_path, destination, precision, target=target)
    record = record_from_engine(destination)
    assert record.target == target
    assert (record.library, record.library_version, record.gpu_name) == ("tensorrt_rtx", rtx.version, "")
    assert record.profile == (1, 8, 32)
    assert record.precision == precision
    assert record.weight_shares[precision] > 0.95
    assert record.engine_bytes == destination.stat().st_size > 1e6
    assert record.onnx_sha256 == sha256_from_file(onnx_path)
    assert sorted(path.name for path in destination.parent.iterdir()) == ["model.plan", "model.plan.json"]
    assert any(f"{precision} 100 % of the weights" in line for line in lines)


def test_progress_rises_to_nearly_one(fp16_path: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    request = EngineRequest(
        target="sm120", timing_cache_dir=tmp_path, on_step=lambda share, phase: shares.append(share)
    )
    engine_from_onnx(fp16_path, engine_variant(), tmp_path / "model.plan", request)
    assert len(shares) > 100
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1


def test_fp32_graph_asked_for_as_fp16_is_refused(fp32_path: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"asked for as fp16 and computes in fp32 100 %.*Stayed behind: .*model\."
    ) as e:
        build(fp32_path, tmp_path / "1" / "model.plan")
    assert "take the FP16 graph that `photofinish export` makes" in str(e.value)
    assert not (tmp_path / "1").exists()


def test_uncalibrated_int8_is_refused(fp16_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"asked for as int8 and computes in fp16 100 %.*photofinish calibrate"):
        build(fp16_path, tmp_path / "1" / "model.plan", "int8")
    assert not (tmp_path / "1").exists()


def test_int8_with_fp32_around_it_is_refused(quantised: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(quantised, tmp_path / "quantised.onnx")
    with pytest.raises(ExportError, match=r"asked for as int8 and 100 % of its layers give fp32"):
        build(tmp_path / "quantised.onnx", tmp_path / "1" / "model.plan", "int8")


def test_graph_without_quantisers_cannot_become_int8(fp32_path: Path) -> None:
    with pytest.raises(ExportError, match=r"QuantizeLinear operators, found none.*--calibration"):
        fp16_model_around_int8(onnx.load(fp32_path))


def test_unsupported_operator_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Unheard", ["frames"], ["detections"], name="odd_one", domain="example")],
        "g",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["n", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example", 1)])
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ExportError, match=r"cannot read .*odd\.onnx: operator Unheard at node 'odd_one'"):
        build(tmp_path / "odd.onnx", tmp_path / "1" / "model.plan")


@pytest.mark.parametrize("content", [b"", b"not a graph at all"], ids=["empty", "nonsense"])
def test_file_that_is_no_graph(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(ExportError, match=r"broken\.onnx"):
        build(tmp_path / "broken.onnx", tmp_path / "1" / "model.plan")


def test_missing_graph(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"none\.onnx does not exist; run `photofinish export`"):
        build(tmp_path / "none.onnx", tmp_path / "1" / "model.plan")


def test_static_batch_is_refused(toy_path: Path, tmp_path: Path) -> None:
    model = onnx.load(toy_path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "static.onnx")
    with pytest.raises(ExportError, match=r"input 'frames' has the shape \[1, 32, 32, 3\].*dynamic first dimension"):
        build(tmp_path / "static.onnx", tmp_path / "1" / "model.plan")


def test_full_disk_leaves_nothing_behind(toy_path: Path, tmp_path: Path) -> None:
    """A limit on the file size stands for the full disk: the write fails in the middle in the same way."""
    destination = tmp_path / "1" / "model.plan"
    with file_size_limit(4096), pytest.raises(ExportError, match="cannot be written: File too large; free some space"):
        build(toy_path, destination)
    assert list(destination.parent.iterdir()) == []


def test_full_disk_at_publishing_keeps_what_was_published(toy_path: Path, tmp_path: Path) -> None:
    """The copy fails in the middle of the engine; shutil gathers such errors into one without a number."""
    staged, repository = tmp_path / "staged", tmp_path / "repository"
    variant = engine_variant()
    build(toy_path, staged / "1" / "model.plan")
    (staged / "config.pbtxt").write_text("name: 'toy'", encoding="utf-8")
    card = build_card(variant=variant.name, backend="tensorrt", precision="fp16", device="cuda")
    item = StagedVariant(variant=variant, directory=staged, card=card, rebuilt=True)
    with (
        file_size_limit(4096),
        pytest.raises(ExportError, match=r"File too large \(.*repository has .* MB free\); free"),
    ):
        publish_variants([item], repository)
    assert list(repository.iterdir()) == []


def test_full_temporary_folder_is_told_in_one_line(tmp_path: Path) -> None:
    with file_size_limit(4096), pytest.raises(ExportError, match=r"File too large .*TMPDIR\. Nothing was left behind"):
        stage_variants(
            "demo",
            variants_path=default_variants_path(),
            names=("trt_fp16",),
            targets=("sm120",),
            input_size=INPUT_SIZE,
            staging=tmp_path / "staging",
            on_progress=lambda line: None,
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_another_error_of_the_system_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), told_when_full(tmp_path):
        raise PermissionError("no")


def test_failed_build_keeps_the_engine_that_was_there(toy_path: Path, fp32_path: Path, tmp_path: Path) -> None:
    destination = tmp_path / "1" / "model.plan"
    build(toy_path, destination)
    before = destination.read_bytes()
    with pytest.raises(ExportError):
        build(fp32_path, destination)
    assert destination.read_bytes() == before
    assert require_engine(destination, target="sm120").target == "sm120"


def test_stopped_build_ends_soon_and_leaves_nothing(fp16_path: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    begun: list[float] = []

    def stop_at_once(share: float, phase: str) -> None:
        begun.append(time.monotonic())
        stop.set()

    request = EngineRequest(target="sm120", timing_cache_dir=tmp_path / "t", on_step=stop_at_once, stop=stop)
    with pytest.raises(ExportError, match="was stopped; nothing was written"):
        engine_from_onnx(fp16_path, engine_variant(), tmp_path / "1" / "model.plan", request)
    assert time.monotonic() - begun[0] < 5
    assert not (tmp_path / "1").exists()


def test_ctrl_c_ends_the_build(fp16_path: Path, tmp_path: Path) -> None:
    """A real SIGINT into this process in the middle of a build."""
    sent: list[float] = []

    def interrupt(share: float, phase: str) -> None:
        if share > 0.1 and not sent:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    request = EngineRequest(target="sm120", timing_cache_dir=tmp_path / "timing", on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine_from_onnx(fp16_path, engine_variant(), tmp_path / "1" / "model.plan", request)
    assert time.monotonic() - sent[0] < 10
    assert not (tmp_path / "1").exists()


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_timing_cache_is_kept_and_a_broken_one_begun_again(tmp_path: Path, rtx: TensorRTLibrary) -> None:
    """The calls that a `tensorrt` build makes, on tensorrt_rtx's config, which still has them."""
    config = rtx.module.Builder(tensorrt_logger(rtx)).create_builder_config()
    path = tmp_path / "timing" / "t.timing"
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    assert attach_timing_cache(config, path) is not None
    keep_timing_cache(config, path)
    kept = path.read_bytes()
    assert kept not in (b"", b"nonsense")
    assert attach_timing_cache(config, path) is not None
    assert timing_cache_name(rtx, "sm120", "NVIDIA GeForce RTX 5070").endswith("-sm120-nvidia-geforce-rtx-5070.timing")


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
def test_timing_cache_that_cannot_be_kept_is_no_failure(
    tmp_path: Path, rtx: TensorRTLibrary, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in_the_way").touch()
    config = rtx.module.Builder(tensorrt_logger(rtx)).create_builder_config()
    attach_timing_cache(config, tmp_path / "in_the_way" / "t.timing")
    keep_timing_cache(config, tmp_path / "in_the_way" / "t.timing")
    assert "cannot be kept" in caplog.text


@pytest.mark.parametrize(
    ("target", "gpu", "message"),
    [
        (None, None, "no NVIDIA GPU to build a TensorRT engine for; name one with --target"),
        ("sm90", None, "knows sm75, sm80, sm86, sm89, sm120, sm121 and not sm90"),
        (None, Gpu(name="NVIDIA H100", target="sm90"), "tensorrt_rtx .* not sm90"),
    ],
)
def test_target_no_library_builds_for(target: str | None, gpu: Gpu | None, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        choose_library(target, gpu)


@pytest.mark.parametrize(("text", "target"), [("sm120", "sm120"), ("SM_89", "sm89"), ("8.6", "sm86"), ("120", "sm120")])
def test_target_spellings(text: str, target: str) -> None:
    assert target_from_text(text) == target


@pytest.mark.parametrize("text", ["", "rtx5070", "sm1", "sm12000"])
def test_target_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--target must name a GPU architecture"):
        target_from_text(text)


def test_precision_the_gpu_lacks_is_said_plainly() -> None:
    with pytest.raises(ExportError, match="sm86 has no FP8 arithmetic"):
        check_precision_on_target("fp8", "sm86")
    with pytest.raises(ExportError, match="sm75 has no BF16 arithmetic"):
        check_precision_on_target("bf16", "sm75")
    check_precision_on_target("fp8", "sm120")
    check_precision_on_target("int8", "sm75")


@pytest.mark.parametrize(
    ("buckets", "profile"), [((1, 2, 4, 8, 16, 32), (1, 8, 32)), ((1, 2, 4, 8), (1, 2, 8)), ((1,), (1, 1, 1))]
)
def test_profile_comes_from_the_buckets(buckets: tuple[int, ...], profile: tuple[int, int, int]) -> None:
    assert profile_from_buckets(buckets) == profile


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


def test_bar_moves_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        with build_bar("toy sm120") as move:
            move(0.5, "Timing graph nodes")
            move(0.4, "an earlier phase")
        assert ("toy sm120" in stream.getvalue()) is drawn


def test_rebuild_command_is_the_whole_command(context: BuildContext) -> None:
    """Every option that decides the engine is in it, and the command line knows each."""
    asked = replace(
        context,
        weights_spec="my weights.pt",
        targets=("sm120", "sm89"),
        model_name="cam",
        input_size=INPUT_SIZE,
        calibration=Path("scenes"),
    )
    command = asked.rebuild_command(engine_variant("int8"))
    assert command == (
        "photofinish export --weights 'my weights.pt' --variant trt_int8 --target sm120 --target sm89 "
        f"--model-name cam --input-size {INPUT_SIZE} --calibration scenes"
    )
    export = cli.get_command(click.Context(cli), "export")
    assert export is not None
    export.make_context("export", shlex.split(command)[2:])
    assert "--calibration" not in asked.rebuild_command(engine_variant("fp16"))
    assert context.rebuild_command(engine_variant()) == (
        f"photofinish export --weights {context.source.weights} --variant trt_fp16"
    )
