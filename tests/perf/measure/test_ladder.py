"""The ladder: which rungs the served models allow, and what each one really changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from photofinish.client.triton.served import ServedModel
from photofinish.client.triton.transport import SYSTEM_SHM
from photofinish.errors import ConfigError, RequestTimeoutError
from photofinish.perf.measure import runs
from photofinish.perf.measure.bench import Bench
from photofinish.perf.measure.comparison import Contender, contender_from_sender
from photofinish.perf.measure.ladder import RUNGS, changes_between, ladder_setups
from photofinish.perf.measure.runs import Plan, Run, climb_ladder
from photofinish.perf.measure.setups import Setup
from photofinish.perf.record.record import Arm, Load
from photofinish.perf.report.words import ENGLISH, ENTRIES
from photofinish.perf.watch.watcher import Watcher
from tests.builders import build_card
from tests.perf.records import build_record


def _changed(setups: Sequence[Setup]) -> dict[str, str]:
    """What each rung changed against the one before, by its key."""
    before = (setups[0], *setups)
    pairs = zip(before, setups, strict=False)
    return {setup.key: ENGLISH.changes(changes_between(earlier, setup)) for earlier, setup in pairs}


def _model(name: str, *, max_batch_size: int = 32, **card: Any) -> ServedModel:
    return ServedModel(
        name=name,
        card=build_card(variant=name, **card),
        has_own_card=True,
        problem="",
        inputs=(),
        outputs=(),
        max_batch_size=max_batch_size,
    )


BASELINE = _model("toy_torch_fp32_tensor", role="baseline", contract="tensor", backend="pytorch", max_batch_size=8)
TORCH = _model("toy_torch_fp32", backend="pytorch")
ONNX = _model("toy_onnx_fp32")
FP16_CPU = _model("toy_onnx_fp16", precision="fp16", cuda_graphs=False, device="cpu")
FP16_PLAIN = _model("toy_onnx_fp16_plain", precision="fp16", cuda_graphs=False, device="cuda")
FP16_GPU = _model("toy_onnx_fp16", precision="fp16", cuda_graphs=True, device="cuda")
INT8 = _model("toy_onnx_int8", precision="int8")
TENSORRT = _model("toy_trt_fp16", precision="fp16", backend="tensorrt", cuda_graphs=True, device="cuda")


def test_all_rungs_change_one_thing_each_on_a_cpu() -> None:
    setups, not_run = ladder_setups((BASELINE, TORCH, ONNX, FP16_CPU, INT8))
    assert [setup.key for setup in setups] == [
        "baseline", "contract", "client", "transport", "http", "engine", "precision", "int8", "pipelining", "batching",
    ]  # fmt: skip
    assert list(_changed(setups).values()) == [
        "",
        "contract tensor → frames",
        "client baseline → optimised",
        "transport grpc → system_shm",
        "transport system_shm → system_shm_http",
        "engine pytorch → onnxruntime",
        "precision fp32 → fp16",
        "precision fp16 → int8",
        "in flight 1 → 2",
        "batch 1 → 8",
    ]
    assert [ENGLISH.subject(item) for item in not_run] == [
        "OpenVINO", "CUDA graphs", "AOTInductor FP16", "TensorRT FP16", "BF16", "no padding", "pruned",
        "CUDA shared memory",
    ]  # fmt: skip
    assert "needs an openvino FP32 variant" in ENGLISH.why(not_run[0])


def test_on_a_gpu_precision_and_graphs_are_two_rungs() -> None:
    for best in (None, TENSORRT):
        setups, _ = ladder_setups((BASELINE, TORCH, ONNX, FP16_GPU, FP16_PLAIN, TENSORRT), best)
        changed = _changed(setups)
        assert changed["precision"] == "precision fp32 → fp16"
        assert changed["cuda_graphs"] == "CUDA graphs off → on"
        assert changed["tensorrt"] == "engine onnxruntime → tensorrt"
        assert changed[setups[-1].key] == "transport system_shm_http → cuda_shm_http"
        assert all("," not in text for text in changed.values()), "one change per rung"


def test_the_square_sibling_of_a_rectangular_input_has_its_graphs_too() -> None:
    rect = _model("toy_onnx_fp16_rect", precision="fp16", cuda_graphs=True, device="cuda", input_wh=(640, 384))
    setups, _ = ladder_setups((BASELINE, TORCH, ONNX, FP16_PLAIN, FP16_GPU, rect), rect)
    changed = _changed(setups)
    assert (changed["cuda_graphs"], changed["rect"]) == ("CUDA graphs off → on", "input 64 × 64 → 640 × 384")


def test_without_the_plain_variant_graphs_are_not_sold_with_the_precision() -> None:
    setups, not_run = ladder_setups((BASELINE, TORCH, ONNX, FP16_GPU))
    assert "cuda_graphs" not in _changed(setups)
    why = {ENGLISH.subject(item): ENGLISH.why(item) for item in not_run}
    assert why["CUDA graphs"] == "toy_onnx_fp16 would change precision, CUDA graphs at once"
    assert "on a GPU onnx_fp16_plain" in why["FP16"]
    setups, _ = ladder_setups((BASELINE, TORCH, ONNX, FP16_GPU), FP16_GPU)
    assert _changed(setups)["cuda_graphs"] == "precision fp32 → fp16, CUDA graphs off → on", (
        "the fastest stays, as told"
    )


def test_no_rung_changes_engine_and_precision_at_once() -> None:
    openvino = [
        _model(f"toy_openvino_{precision}", backend="openvino", precision=precision) for precision in ("fp32", "int8")
    ]
    setups, not_run = ladder_setups((BASELINE, TORCH, ONNX, FP16_CPU, INT8, *openvino))
    by_key, changed = {setup.key: setup for setup in setups}, _changed(setups)
    assert changed["openvino"] == "engine onnxruntime → openvino"
    assert (by_key["int8"].model.name, changed["int8"]) == ("toy_openvino_int8", "precision fp32 → int8")
    reason = next(ENGLISH.why(item) for item in not_run if ENGLISH.subject(item) == "FP16")
    assert reason == "toy_onnx_fp16 would change engine, precision at once"


def test_bf16_is_a_rung_of_its_own_ahead_of_its_rectangular_input() -> None:
    openvino = [
        _model(f"toy_openvino_{precision}", backend="openvino", precision=precision)
        for precision in ("fp32", "int8", "bf16")
    ]
    rect = _model("toy_openvino_bf16_rect", backend="openvino", precision="bf16", input_wh=(640, 384))
    setups, _ = ladder_setups((BASELINE, TORCH, ONNX, *openvino, rect), rect)
    changed = _changed(setups)
    assert [setup.key for setup in setups][-6:] == ["openvino", "int8", "bf16", "rect", "pipelining", "batching"]
    assert (changed["bf16"], changed["rect"]) == ("precision int8 → bf16", "input 64 × 64 → 640 × 384")
    fastest_int8, _ = ladder_setups((BASELINE, TORCH, ONNX, *openvino), openvino[1])
    assert [setup.key for setup in fastest_int8][-5:] == ["openvino", "bf16", "int8", "pipelining", "batching"]


def test_the_fastest_model_is_never_left_out() -> None:
    aoti = _model("toy_aoti_fp16", backend="pytorch", precision="fp16", cuda_graphs=True, device="cuda")
    for best in (aoti, INT8, FP16_CPU):
        setups, _ = ladder_setups((BASELINE, TORCH, ONNX, FP16_CPU, INT8, aoti), best)
        assert [setup.model.name for setup in setups][-2:] == [best.name] * 2
        assert {setup.key for setup in setups} >= {"pipelining", "batching"}


def test_a_rectangular_input_is_a_rung_of_its_own_after_its_square_sibling() -> None:
    models = (BASELINE, TORCH, ONNX, FP16_CPU, INT8)
    rect = _model("toy_onnx_fp16_rect", precision="fp16", cuda_graphs=False, input_wh=(640, 384))
    setups, _ = ladder_setups((*models, rect), rect)
    assert [(setup.key, setup.model.name) for setup in setups[-5:]] == [
        ("int8", "toy_onnx_int8"),
        ("precision", "toy_onnx_fp16"),
        ("rect", "toy_onnx_fp16_rect"),
        ("pipelining", "toy_onnx_fp16_rect"),
        ("batching", "toy_onnx_fp16_rect"),
    ]
    assert _changed(setups)[setups[-3].key] == "input 64 × 64 → 640 × 384"
    assert all(setup.model is not rect for setup in setups[:-3])


def test_a_rectangular_input_without_a_square_sibling_is_a_rung_only_where_it_is_the_fastest() -> None:
    rect = _model("toy_openvino_int8_rect", backend="openvino", precision="int8", input_wh=(640, 384))
    setups, _ = ladder_setups((BASELINE, ONNX, rect), rect)
    assert [setup.key for setup in setups][-3:] == ["rect", "pipelining", "batching"]
    assert (
        _changed(setups)[setups[-3].key]
        == "engine onnxruntime → openvino, precision fp32 → int8, input 64 × 64 → 640 × 384"
    )
    setups, not_run = ladder_setups((BASELINE, ONNX, rect), ONNX)
    assert all(setup.model is not rect for setup in setups)
    assert "no padding" in [ENGLISH.subject(item) for item in not_run]


def test_an_accelerated_variant_is_not_taken_for_the_plain_one() -> None:
    accelerated = _model("toy_onnx_fp16_trt", precision="fp16", cuda_graphs=True, device="cuda", accelerator="tensorrt")
    setups, not_run = ladder_setups((BASELINE, TORCH, ONNX, accelerated, FP16_PLAIN, FP16_GPU))
    assert next(setup.model.name for setup in setups if setup.key == "cuda_graphs") == "toy_onnx_fp16"
    _, not_run = ladder_setups((BASELINE, TORCH, ONNX, accelerated))
    assert {"FP16", "CUDA graphs"} <= {ENGLISH.subject(item) for item in not_run}


def test_without_a_baseline_only_named_rungs_remain() -> None:
    setups, not_run = ladder_setups((ONNX,))
    assert setups[0].key == "engine"
    assert ENGLISH.subject(not_run[0]) == "textbook"
    assert ladder_setups(())[0] == ()
    assert len(ladder_setups(())[1]) == len(RUNGS)


def test_a_model_that_takes_no_batches_ends_before_that_rung() -> None:
    small = _model("toy_onnx_fp32", max_batch_size=4)
    _, not_run = ladder_setups((BASELINE, TORCH, small))
    assert ENGLISH.why(not_run[-2]) == "toy_onnx_fp32 takes batches of 4 at most"


def test_every_rung_has_a_name_in_both_languages() -> None:
    assert all(f"rung_{rung.key}" in ENTRIES for rung in RUNGS)
    setups, _ = ladder_setups((BASELINE, ONNX))
    assert changes_between(setups[0], setups[0]) == ()


def test_a_ladder_without_rungs_is_refused_where_it_was_asked_for(tmp_path: Path) -> None:
    fp8 = _model("toy_trt_fp8", precision="fp8", backend="tensorrt", device="cuda")
    bench = Bench(url="", models=(fp8,), frames=(), source="", server={}, watcher=Watcher())
    said: list[str] = []
    run = Run(bench=bench, plan=Plan(), out=tmp_path / "l.json", on_progress=said.append, record=build_record())
    climb_ladder(run)
    assert said == ["a ladder needs a baseline and one more variant, served are toy_trt_fp8; not run"]
    with pytest.raises(ConfigError, match="run `photofinish export`"):
        climb_ladder(run, required=True)


def test_what_comes_after_the_engines_builds_on_the_fastest_of_them() -> None:
    setups, _ = ladder_setups((BASELINE, TORCH, ONNX, FP16_CPU, INT8), FP16_CPU)
    assert [setup.key for setup in setups][-4:] == ["int8", "precision", "pipelining", "batching"]
    assert setups[-1].model is FP16_CPU
    assert _changed(setups)["precision"] == "precision int8 → fp16"
    unmoved, _ = ladder_setups((BASELINE, TORCH, ONNX, FP16_CPU, INT8), TORCH)
    assert [setup.key for setup in unmoved][-3:] == ["int8", "pipelining", "batching"]


def test_a_rung_is_told_by_what_really_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rung cannot be opened, and the server's HTTP endpoint is not found: the changes skip what was left out."""

    @contextmanager
    def opened(bench: Bench, setup: Setup, load: Load) -> Iterator[Contender]:
        if setup.rung == "client":
            raise RequestTimeoutError("no answer in {5} s")
        transport = SYSTEM_SHM if setup.transport == "auto" else setup.transport
        arm = Arm(key=setup.key, rung=setup.rung, model=setup.model.name, transport=str(transport))
        yield replace(contender_from_sender(arm, lambda index: None, load), warm_up=lambda: None)

    monkeypatch.setattr(runs, "open_contender", opened)
    models = (BASELINE, TORCH, ONNX)
    bench = Bench(url="", models=models, frames=(), source="", server={}, watcher=Watcher())
    plan = Plan(ladder_rounds=1, ladder_block_s=0.001)
    run = Run(bench=bench, plan=plan, out=tmp_path / "l.json", on_progress=lambda line: None, record=build_record())
    climb_ladder(run, ONNX)
    ladder = run.record.sections[-1]
    assert {arm.rung: ENGLISH.changes(arm.changes) for arm in ladder.arms} == {
        "baseline": "",
        "contract": "contract tensor → frames",
        "transport": "client baseline → optimised, transport grpc → system_shm",
        "engine": "engine pytorch → onnxruntime",
        "pipelining": "in flight 1 → 2",
        "batching": "transport system_shm → system_shm_http, batch 1 → 8",
    }
    reasons = {ENGLISH.subject(item): ENGLISH.why(item) for item in ladder.not_run}
    assert reasons["reused requests"] == "no answer in {5} s"
    assert reasons["requests over HTTP"].startswith("the server's HTTP endpoint is not on the port")


def test_pruned_weights_are_a_rung_of_their_own_that_says_so() -> None:
    changed = {"by": "pruning", "from_sha256": "0" * 64}
    pruned = {
        precision: _model(
            f"toy-pruned30_onnx_{precision}",
            model="toy-pruned30",
            precision=precision,
            weights_sha256="1" * 64,
            weights_changed=changed,
        )
        for precision in ("fp32", "int8")
    }
    models = (BASELINE, TORCH, ONNX, INT8, *pruned.values())
    for best in (None, INT8, pruned["int8"]):
        setups, _ = ladder_setups(models, best)
        keys = [setup.key for setup in setups]
        assert keys[-4:] == ["int8", "pruned", "pipelining", "batching"]
        assert [setup.model.name for setup in setups if setup.model in pruned.values()] == [pruned["int8"].name] * 3
        assert _changed(setups)["pruned"] == "weights changed: given → toy-pruned30"
    setups, not_run = ladder_setups((BASELINE, TORCH, ONNX, INT8))
    assert any("photofinish export --prune" in ENGLISH.why(item) for item in not_run)
    other = {**changed, "from_sha256": "2" * 64}
    alone = [replace(model, card=replace(model.require_card(), weights_changed=other)) for model in (BASELINE, ONNX)]
    setups, _ = ladder_setups(alone)
    assert [setup.key for setup in setups][:2] == ["baseline", "client"], "a pruned family is measured like any other"
