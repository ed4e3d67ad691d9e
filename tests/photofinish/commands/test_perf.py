"""The commands, against the small Triton of the client's tests and, once, against the real one."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.commands.perf import perf
from photofinish.commands.perf_options import positive_numbers, whole_numbers
from photofinish.errors import ConfigError, PhotofinishError, ServerUnavailableError, VerdictError
from photofinish.flows.bench import artifacts_in, models_named, repeat_command
from photofinish.perf.judge.findings import findings_from_record
from photofinish.perf.record.record import TIME_UP, read_record
from photofinish.perf.report.words import ENGLISH
from tests.builders import build_card, build_frame
from tests.client.fake_triton import Arrays, FakeModel, FakeTriton, no_detections
from tests.conftest import CHECKOUT
from tests.perf.toy_repository import write_toy_repository


def _slow(seconds: float, output: str) -> Any:
    def infer(inputs: Arrays) -> Arrays:
        time.sleep(seconds)
        return {output: next(iter(no_detections(inputs).values()))}

    return infer


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    baseline = FakeModel(
        name="toy_torch_fp32_tensor",
        card=build_card(variant="toy_torch_fp32_tensor", role="baseline", contract="tensor", backend="pytorch"),
        inputs=(("INPUT__0", "FP32", (3, 64, 64)),),
        outputs=(("OUTPUT__0", "FP32", (300, 6)),),
        infer=_slow(0.02, "OUTPUT__0"),
    )
    with FakeTriton(baseline, FakeModel(infer=_slow(0.003, "detections"))) as server:
        yield server


def _invoke(*words: str) -> Any:
    return CliRunner().invoke(cli, ["perf", *words])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        cv2.imwrite(str(folder / f"{seed}.png"), build_frame(seed=seed).image_hwc_bgr)
    return str(folder)


def _on(server: FakeTriton, out: Path, source: str) -> list[str]:
    return ["--url", server.url, "--metrics-url", "none", "--out", str(out), "--source", source]


def test_comparison_writes_its_evidence_and_keeps_limits(triton: FakeTriton, source: str, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    words = ["--rounds", "5", "--seconds", "0.3", "--min-speedup", "1.2", "--rates", "20", "--arrivals", "poisson"]
    words.append("--no-rivals")  # a missed limit below is told with those that cannot run here
    result = _invoke("comparison", *_on(triton, out, source), *words)
    assert isinstance(result.exception, (VerdictError, type(None))), result.output
    record = read_record(out)
    verdict = findings_from_record(record).verdict
    assert (result.exit_code == 0) == (not verdict.falls_short)
    assert [section.name for section in record.sections] == ["comparison", "paced 20"]
    assert verdict.limits[0].outcome != "FAIL"
    assert record.environment["server"] == {"kind": "external", "version": "2.51.0"}
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".csv", ".html"}
    assert "Frames per second" in result.output


def test_a_missed_limit_ends_with_3(triton: FakeTriton, source: str, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("min_speedup = 1000\n")
    result = _invoke(
        "comparison",
        *_on(triton, tmp_path / "c.json", source),
        "--rounds",
        "2",
        "--seconds",
        "0.1",
        "--limits",
        str(limits),
    )
    assert isinstance(result.exception, VerdictError)
    assert result.exception.exit_code == 3
    assert "FAIL" in result.output


def test_ladder_trace_and_sweep(triton: FakeTriton, source: str, tmp_path: Path) -> None:
    for name, words in (
        ("ladder", ("--rounds", "2", "--seconds", "0.1", "--no-rivals")),
        ("trace", ("--seconds", "0.1")),
        ("sweep", ("--concurrency", "1,2", "--batch", "1,4,64", "--seconds", "0.4", "--no-perf-analyzer")),
    ):
        result = _invoke(name, *_on(triton, tmp_path / f"{name}.json", source), *words)
        assert isinstance(result.exception, (VerdictError, type(None))), result.output
        record = read_record(tmp_path / f"{name}.json")
        assert record.is_complete
        assert record.sections[0].kind == name
    sweep = read_record(tmp_path / "sweep.json").sections[0]
    assert len(sweep.arms) == 8
    assert [ENGLISH.subject(item) for item in sweep.not_run] == [
        "toy_torch_fp32_tensor, batch 64",
        "toy_onnx_fp32, batch 64",
    ]
    assert sweep.blocks_of("toy_onnx_fp32/4/2/photofinish")[0].samples.frames_per_request == 4
    assert "what changed" in _invoke("report", str(tmp_path / "ladder.json")).output
    assert "client prepare" in _invoke("report", str(tmp_path / "trace.json")).output


def test_report_redraws_and_compare_refuses_apples_with_pears(triton: FakeTriton, source: str, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    _invoke("comparison", *_on(triton, out, source), "--rounds", "2", "--seconds", "0.1", "--no-rivals")
    result = _invoke("report", str(out), "--lang", "zh")
    assert result.exit_code == 0
    assert "每秒帧数" in result.output
    assert (tmp_path / "c.zh.html").is_file()
    other = tmp_path / "d.json"
    values = json.loads(out.read_text())
    values["environment"]["cpu"] = "Another"
    other.write_text(json.dumps(values))
    refused = _invoke("compare", str(out), str(other))
    assert isinstance(refused.exception, ConfigError)
    assert "environment.cpu" in str(refused.exception)
    assert (
        _invoke(
            "compare", str(out), str(other), "--allow", "environment.cpu", "--allow", "comparison.verdict"
        ).exit_code
        == 0
    )


def test_results_of_ones_own_stay_out_of_the_committed_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outs = {
        name: option.default
        for name, command in perf.commands.items()
        for option in command.params
        if option.name == "out" and isinstance(option.default, Path)
    }
    assert outs == {
        name: Path(f".photofinish/results/{name}.json")
        for name in ("standard", "comparison", "ladder", "sweep", "trace", "engine")
    }
    packed = tmp_path / "results" / "old.json.gz"
    packed.parent.mkdir()
    shutil.copy(CHECKOUT / "results/cpu2_int8.json.gz", packed)
    monkeypatch.chdir(tmp_path)
    assert _invoke("report", "results/old.json.gz").exit_code == 0
    assert [path.name for path in packed.parent.iterdir()] == [packed.name]
    drawn = sorted(path.name for path in (tmp_path / ".photofinish/results").iterdir())
    assert drawn == ["old.csv", "old.html", "old.md"]


def _with_default(words: list[str], default: list[str]) -> list[str]:
    """The command with the default options first, so that the words of the case win."""
    return [words[0], *default, *words[1:]]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["comparison", "--optimised", "nothing"], ConfigError, "unknown variant nothing"),
        (["comparison", "--variant", "nothing"], ConfigError, "unknown variant nothing"),
        (["comparison", "--variant", "onnx_fp32"], ConfigError, "a comparison needs two variants"),
        (["comparison", "--out", "/proc/none/c.json"], ConfigError, "choose another place with --out"),
        (["comparison", "--rates", "fast"], ConfigError, "numbers with commas"),
        (["sweep", "--concurrency", "0", "--no-perf-analyzer"], ConfigError, "above 0"),
        (["sweep", "--concurrency", "1.5", "--no-perf-analyzer"], ConfigError, "whole numbers"),
        (["comparison", "--limits", "missing.toml"], ConfigError, "cannot be read as limits"),
        (["comparison", "--source", "missing.mp4"], PhotofinishError, "does not exist"),
    ],
)
def test_bad_input_gets_one_clear_line(
    triton: FakeTriton, source: str, tmp_path: Path, words: list[str], error: type[Exception], said: str
) -> None:
    result = _invoke(*_with_default(words, _on(triton, tmp_path / "c.json", source)))
    assert isinstance(result.exception, error)
    assert said in str(result.exception)


def test_the_command_to_repeat_a_run_keeps_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["perf", "comparison", "--source", "rtsp://user:secret@camera/1?token=abc", "--out", "a b.json"]
    monkeypatch.setattr(sys, "argv", ["photofinish", *words, "--source=rtsp://user:secret@camera/2"])
    assert repeat_command() == (
        "photofinish perf comparison --source rtsp://camera/1 --out 'a b.json' --source=rtsp://camera/2"
    )


@pytest.mark.parametrize("text", ["nan", "inf", "1,-1", "0", "x"])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    for read in (positive_numbers, whole_numbers):
        with pytest.raises(ConfigError, match="expected"):
            read(text)


@pytest.mark.parametrize("seconds", ["0", "-1"])
@pytest.mark.parametrize("command", ["comparison", "ladder", "sweep", "trace", "engine"])
def test_a_time_that_is_none_is_refused(command: str, seconds: str) -> None:
    done = CliRunner().invoke(cli, ["perf", command, "--seconds", seconds])
    assert done.exit_code == 2
    assert "--seconds" in done.output


def test_only_the_named_variants_are_loaded(tmp_path: Path) -> None:
    repository = write_toy_repository(tmp_path)
    assert models_named(repository, ()) == ("toy_onnx_fp32", "toy_torch_fp32_tensor")
    assert models_named(repository, ("onnx_fp32",)) == ("toy_onnx_fp32",)
    assert models_named(repository, ("toy_torch_fp32_tensor", "onnx_fp32")) == (
        "toy_onnx_fp32",
        "toy_torch_fp32_tensor",
    )
    with pytest.raises(
        ConfigError, match=f"unknown variant trt_fp16; {repository} has toy_onnx_fp32, toy_torch_fp32_tensor"
    ):
        models_named(repository, ("trt_fp16",))


def test_of_two_models_in_a_repository_one_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy_repository(tmp_path, published_ns=1)
    write_toy_repository(tmp_path, model="other", weights="other.pt", weights_sha256="ef" * 32, published_ns=2)
    others, toys = (
        tuple(f"{model}_{name}" for name in ("onnx_fp32", "torch_fp32_tensor")) for model in ("other", "toy")
    )
    assert models_named(tmp_path, ()) == others
    assert "model: other (other.pt, detect, 64 pixels), exported last; there is also toy (" in capsys.readouterr().err
    assert models_named(tmp_path, (), model="toy") == toys
    assert models_named(tmp_path, (), also=("toy_onnx_fp32",)) == toys
    assert [item.card.variant for item in artifacts_in(tmp_path, ())] == list(others)
    assert [item.card.variant for item in artifacts_in(tmp_path, ("onnx_fp32",), "toy")] == ["toy_onnx_fp32"]
    with pytest.raises(ConfigError, match=r"are not one network: other_onnx_fp32.* of other .* of toy"):
        models_named(tmp_path, (), also=("other_onnx_fp32", "toy_torch_fp32_tensor"))
    result = _invoke("comparison", "--repository", str(tmp_path), "--model", "wrong", "--out", str(tmp_path / "c.json"))
    assert "unknown model wrong" in str(result.exception)


def test_no_server_there_and_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.perf.measure.bench.READY_TIMEOUT_S", 0.2)
    result = _invoke("comparison", "--url", "127.0.0.1:9", "--metrics-url", "none", "--out", str(tmp_path / "c.json"))
    assert isinstance(result.exception, ServerUnavailableError)
    empty = _invoke("engine", "--repository", str(tmp_path), "--out", str(tmp_path / "e.json"))
    assert "holds no variant" in str(empty.exception)


@pytest.mark.parametrize("ending", ["ctrl_c", "server_gone"])
def test_an_interrupted_run_leaves_a_readable_partial_record(
    triton: FakeTriton, source: str, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / "c.json"
    command = [
        sys.executable,
        "-m",
        "photofinish.cli",
        "perf",
        "comparison",
        *_on(triton, out, source),
        "--seconds",
        "0.5",
    ]
    process = subprocess.Popen([*command, "--rounds", "50"], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not out.is_file() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if ending == "ctrl_c":
            process.send_signal(signal.SIGINT)
        else:
            triton.vanish()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    record = read_record(out)
    section = record.sections[0]
    assert section.blocks
    assert not record.is_complete
    assert findings_from_record(record).verdict.reasons[0].key == "incomplete"
    assert section.stopped_by.startswith("Ctrl-C" if ending == "ctrl_c" else "ServerUnavailableError")
    assert process.returncode == (130 if ending == "ctrl_c" else 1)
    assert "Traceback" not in said
    assert "INVALID" in out.with_suffix(".html").read_text()


def test_the_standard_set_on_the_real_server(tmp_path: Path, source: str) -> None:
    """The whole path with the embedded Triton, real perf_analyzer and a toy model: engine loop and standard set."""
    repository = write_toy_repository(tmp_path / "repository")
    out = tmp_path / "s.json"
    words = ["--repository", str(repository), "--out", str(out), "--source", source, "--rates", "20"]
    words += ["--concurrency", "2", "--batch", "1,4"]
    for minutes in ("0.5", "1.2"):  # the second where the machine is too busy for a first round of each part
        result = _invoke("standard", *words, "--minutes", minutes)
        assert isinstance(result.exception, (VerdictError, type(None))), (result.output, result.exception)
        record = read_record(out)
        if all(section.stopped_by != TIME_UP for section in record.sections):
            break
    assert record.is_complete
    sections = {section.name: section for section in record.sections}
    if importlib.util.find_spec("ultralytics"):  # its client shows the server's token; the toy has no weights
        rivals = sections.pop("rivals")
        assert [arm.key for arm in rivals.arms] == ["ultralytics", "baseline", "optimised"]
        assert [item.key for item in rivals.not_run] == ["weights"]
        assert all(block.samples.completed_count for block in rivals.blocks)
    assert list(sections) == ["comparison", "paced 20", "ladder", "sweep"]
    sweep = record.sections[-1]
    assert {(arm.generator, arm.batch_size) for arm in sweep.arms} == {
        ("perf_analyzer", 1), ("perf_analyzer", 4), ("photofinish", 1), ("photofinish", 4),
    }  # fmt: skip
    for block in sweep.blocks:
        assert block.samples.completed_count >= 20
        assert block.observed.triton is not None
        assert block.observed.triton.requests >= block.samples.completed_count
        images = block.samples.completed_count * block.samples.frames_per_request
        assert block.observed.triton.inferences >= images
        assert block.observed.server_cpu_cores
    assert all(block.reported for block in sweep.blocks if "perf_analyzer" in block.arm)
    engine = _invoke("engine", "--repository", str(repository), "--out", str(tmp_path / "e.json"), "--seconds", "0.2",
                     "--batch", "1,4,64")  # fmt: skip
    assert engine.exit_code == 0, engine.exception
    floor = read_record(tmp_path / "e.json").sections[0]
    assert [(arm.model, arm.batch_size) for arm in floor.arms] == [("toy_onnx_fp32", 1), ("toy_torch_fp32_tensor", 1)]
    assert [ENGLISH.why(item).rsplit(" takes", 1)[-1] for item in floor.not_run] == [" batches of 1 at most"] * 4


SCRIPT = Path(__file__).resolve().parents[3] / "perf" / "run_perf.sh"


def test_the_script_helps_and_says_where_paths_count_from(tmp_path: Path) -> None:
    found = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([SCRIPT, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
                          env=found)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "photofinish perf standard" in done.stdout
    assert "--min-speedup" in done.stdout
    assert f"paths count from {SCRIPT.parents[1]}" in done.stderr


def test_the_script_says_when_photofinish_is_not_installed(tmp_path: Path) -> None:
    copy = tmp_path / "perf" / "run_perf.sh"
    copy.parent.mkdir()
    copy.write_bytes(SCRIPT.read_bytes())
    done = subprocess.run(["bash", copy], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
                          env={"PATH": "/usr/bin:/bin"})  # fmt: skip
    if shutil.which("photofinish", path="/usr/bin:/bin"):
        pytest.skip("photofinish is installed for the whole machine")
    assert done.returncode == 1
    assert "make setup" in done.stderr
