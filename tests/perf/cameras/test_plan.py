"""A plan is arithmetic that can be done by hand, and its measured rates are those of the committed records."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from pathlib import Path

import pytest

from photofinish.errors import ConfigError
from photofinish.perf.cameras.plan import CameraNeed, PlanRow, own_rate, plan_rows
from photofinish.perf.cameras.silicon import ENGINE_H100, ENGINE_H200, GPUS, EngineRate, gpu_named, scaled_share
from tests.conftest import CHECKOUT

RESULTS = CHECKOUT / "results"


def row(gpu: str, **need: object) -> PlanRow:
    return next(item for item in plan_rows(CameraNeed(**need)) if item.gpu == gpu)  # type: ignore[arg-type]


def test_the_a10_by_hand() -> None:
    found = row("A10")
    assert found.decoder_fps == pytest.approx(2 * 748 * 2.25)
    assert found.by_decoder == math.floor(2 * 748 * 2.25 * 0.85 / 25)
    assert found.by_engine == math.floor(4159.6 * 600 / 4800 * 0.85 / 5)
    assert (found.carries, found.wall, found.engine_source) == (found.by_engine, "engine", "scaled")


def test_walls_of_other_needs() -> None:
    assert row("A10", size_wh=(1920, 1080)).wall == "decoder"
    assert row("A10", size_wh=(640, 360), send_fps=5.0).by_decoder > 1000
    assert row("H200", size_wh=(640, 360), send_fps=5.0).wall == "sessions"
    mjpeg = row("A10", codec="mjpeg")
    assert (mjpeg.carries, mjpeg.wall, mjpeg.decoder_fps) == (0, "no decoder", 0.0)
    assert row("RTX 5070", size_wh=(3840, 2160), codec="hevc", send_fps=1.0, infer_fps=0.1).wall == "memory"


def test_more_inferred_than_sent_is_refused() -> None:
    with pytest.raises(ConfigError, match="--infer-fps 10 is more than the cameras send"):
        CameraNeed(send_fps=5, infer_fps=10)


@pytest.mark.parametrize(
    ("rate", "model"), [(ENGINE_H200, "demo_traffic_onnx_fp16"), (ENGINE_H100, "demo_traffic_aoti_fp16")]
)
def test_measured_rates_are_those_of_the_committed_records(rate: EngineRate, model: str) -> None:
    rows = json.loads((RESULTS / rate.record).read_text(encoding="utf-8"))["models"][model]["throughput"]
    wanted = {"transport": "cuda_shm_http", "batch": 8, "clients": 8}
    (found,) = [item for item in rows if wanted.items() <= item.items()]
    assert found["images_per_s"] == rate.images_per_s


def test_a_card_is_planned_with_its_own_rates_and_not_with_those_of_a_faster_one_of_its_name() -> None:
    pcie, sxm = row("H100 PCIe"), row("H100")
    assert (pcie.engine_source, sxm.engine_source) == ("scaled", "measured")
    assert pcie.by_engine == math.floor(4159.6 * 2000 / 4800 * 0.85 / 5) < sxm.by_engine
    assert row("A100").decoder_fps == pytest.approx(5 * 771 * 1290 / 1860 * 2.25)
    assert row("V100").decoder_fps == pytest.approx(694 * 1372 / 1544 * 2.25)
    assert row("T4").by_memory == math.floor((15 * 1024 - 1024) / 26)


def test_the_rule_for_other_gpus_guesses_low_where_it_can_be_checked() -> None:
    h200, h100 = gpu_named("H200"), gpu_named("H100")
    assert ENGINE_H200.images_per_s * scaled_share(h200, h100) < ENGINE_H100.images_per_s
    assert scaled_share(gpu_named("T4"), h200) == 1.0  # never up


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA A10", "A10"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("t4", "T4"),
    ],
)
def test_names_as_drivers_write_them(name: str, gpu: str) -> None:
    assert gpu_named(name).name == gpu


def test_an_unknown_gpu_is_refused_with_those_known() -> None:
    for name in ("NVIDIA A10G", "NVIDIA GeForce RTX 4090 Laptop GPU"):
        with pytest.raises(ConfigError, match=rf"nothing is known of '{name}'; known are T4, V100, A10, A100"):
            gpu_named(name)
    assert len({gpu.name for gpu in GPUS}) == len(GPUS)


def test_ones_own_record_takes_the_place_of_ours(tmp_path: Path) -> None:
    packed = RESULTS / "h200_yolo26n_coco.json.gz"
    gpu, rate = own_rate(packed)
    assert gpu.name == "H200"
    assert 2500 < rate.images_per_s < 3500  # the sweep's best
    rows = {item.gpu: item for item in plan_rows(CameraNeed(), own=(gpu, rate))}
    assert rows["H200"].engine_source == "measured"
    assert rows["H100"].engine_source == "scaled"
    assert rows["A10"].by_engine == math.floor(rate.images_per_s * 600 / 4800 * 0.85 / 5)
    plain = tmp_path / "cpu.json"
    with gzip.open(RESULTS / "cpu2_demo.json.gz") as source, plain.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    with pytest.raises(ConfigError, match="without a GPU"):
        own_rate(plain)
