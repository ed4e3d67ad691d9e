"""The first wall is named from what was in use, or from what became of the frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photofinish.perf.cameras.walls import uses_of_step, wall_of_step
from photofinish.perf.record.observation import GpuObservation
from tests.perf.cameras.steps import machine_step, window

FULL = machine_step(3, 2, wall="none")


def gpu(**percent: float) -> tuple[GpuObservation, ...]:
    return (GpuObservation(index=0, name="toy", **percent),)  # type: ignore[arg-type]


def rows(cause: str) -> dict[str, object]:
    return {"rows": (window("a", dropped=100, cause=cause),)}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"gpus": gpu(decoder_mean=96.0)}, "NVDEC"),
        ({"gpus": gpu(utilisation_mean=99.0, decoder_mean=50.0)}, "SM"),
        ({"gpus": gpu(pcie_mean=93.0)}, "PCIe"),
        ({"cores": {"server": 5.0, "decode": 2.5}}, "CPU"),
        ({"cores": {"server": 5.0}, "other_cores": 2.5}, "CPU"),
        ({"session_limit": 285, "gpus": gpu(decoder_mean=96.0)}, "sessions"),
        ({"busiest_cores": {"owner": 0.97, "server": 4.0}}, "cell"),
        ({"busiest_cores": {"decode": 0.97}}, "server"),
        (rows("superseded"), "server"),
        (rows("degraded"), "server"),
        (rows("not_decodable"), "CPU"),
        (rows("stalled"), "network"),
    ],
)
def test_each_wall(changes: dict[str, object], name: str) -> None:
    found = wall_of_step(replace(FULL, **changes), 8)  # type: ignore[arg-type]
    assert found.name == name
    assert found.why


def test_of_several_gpus_the_full_one_is_named() -> None:
    both = (*gpu(decoder_mean=50.0), GpuObservation(index=3, name="toy", decoder_mean=96.0))
    assert wall_of_step(replace(FULL, gpus=both), 8).why.startswith("96 % in use on GPU 3; NVDEC 96 %")
    limits = {"session_limit": 280, "session_limits": {"0": 285, "3": 280}}
    found = wall_of_step(replace(FULL, gpus=both, **limits), 8)  # type: ignore[arg-type]
    assert found.why == "GPU 0 opened 285 and GPU 3 opened 280 decoders and no more"


def test_a_late_generator_is_the_wall_whatever_was_in_use() -> None:
    assert wall_of_step(machine_step(3, 2), 8, is_void_by_generator=True).name == "generator"


def test_late_frames_without_a_drop_are_the_servers() -> None:
    late = replace(FULL, rows=(window("a", ms=400),))
    assert wall_of_step(late, 8).why.startswith("frames came late and none was lost")


def test_uses_are_sorted_and_without_what_nobody_told() -> None:
    assert uses_of_step(replace(FULL, gpus=gpu(utilisation_mean=50.0)), 8) == (("SM", 0.5), ("CPU", 0.7 / 8))
