"""What the soak and the signals' experiment judge by, and one signal each to an export and to a demo."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from experiments.faults import signals
from experiments.faults.load import Channel, recovery_from_pauses
from experiments.faults.signals import half_variants, tried
from experiments.faults.watching import Life, Watch, judge, reading_of, slope_per_s

MIB = 1 << 20


def life(*, grows_bytes: float = 0.0, grows_descriptors: float = 0.0, seconds: int = 600) -> Life:
    """Readings every 3 s, noisy, that grow so much a second."""
    readings = [
        (float(s), int(200 * MIB + grows_bytes * s + (s * 7919 % 11) * 100_000), int(40 + grows_descriptors * s), 12)
        for s in range(0, seconds, 3)
    ]
    return Life(role="serve", pid=1, readings=readings)


def test_what_grows_is_found_and_noise_is_not() -> None:
    flat = judge(life(), warm_up_s=60, least_s=300)
    assert flat is not None
    assert flat["grew"] == []
    leaking = judge(life(grows_bytes=0.1 * MIB, grows_descriptors=0.02), warm_up_s=60, least_s=300)
    assert leaking is not None
    assert leaking["grew"] == ["own_bytes", "descriptors"]
    assert leaking["own_bytes"]["added_by_slope"] == pytest.approx(0.1 * MIB * leaking["seconds"], rel=0.05)
    assert judge(life(seconds=200), warm_up_s=60, least_s=300) is None


def test_a_slope_bears_outliers() -> None:
    seconds = [float(number) for number in range(100)]
    values = [2.0 * second for second in seconds]
    values[50] = 1e6
    assert slope_per_s(seconds, values) == pytest.approx(2.0)
    assert slope_per_s([1.0], [5.0]) == 0.0


def test_this_process_can_be_read() -> None:
    own_bytes, descriptors, threads = reading_of(os.getpid())
    assert own_bytes > MIB
    assert descriptors >= 3
    assert threads >= 1
    watch = Watch()
    watch.read(1.0, {"tests": os.getpid(), "gone": 2**22 + 1}, {}, with_children=False)
    (found,) = watch.lives()
    assert (found.role, found.pid, len(found.readings)) == ("tests", os.getpid(), 1)


STEADY = [0.1 * number for number in range(200)]


@pytest.mark.parametrize(
    ("worked", "recovery_s"),
    [
        ([0.1 * number for number in range(400)], 0.0),
        ([*STEADY, *(24.0 + 0.1 * number for number in range(160))], 4.0),
        ([*STEADY, 22.0, 24.0, *(26.0 + 0.1 * number for number in range(140))], 6.0),
        ([*STEADY, *(22.0 + 0.1 * number for number in range(80)), 33.0, *(33 + 0.1 * n for n in range(70))], 2.0),
        (STEADY, None),
    ],
    ids=["no pause", "one", "three in a row", "another one ten seconds later", "for good"],
)
def test_recovery_is_the_end_of_the_faults_pauses(worked: list[float], recovery_s: float | None) -> None:
    pauses = Channel("probe", worked_at=worked).pauses_s(20.0, 40.0)
    assert recovery_from_pauses(pauses, 0.0, 20.0) == recovery_s


def test_half_a_variant_is_found(tmp_path: Path) -> None:
    assert half_variants(tmp_path / "none") == []
    for name in ("whole", "no_config", ".hidden"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "model.onnx").touch()
        (tmp_path / name / "config.pbtxt").touch()
    (tmp_path / "no_config" / "config.pbtxt").unlink()
    assert sorted(half_variants(tmp_path)) == [".hidden", "no_config"]


@pytest.mark.parametrize(
    ("command", "number", "after_s"), [("export", signal.SIGTERM, 0.1), ("demo", signal.SIGHUP, 1.0)]
)
def test_a_command_that_is_stopped_leaves_nothing(
    tmp_path: Path, command: str, number: signal.Signals, after_s: float
) -> None:
    """`python -m experiments.faults.signals` does this at random moments, as often as one likes.

    Here the moment is one in its work, however fast the machine: once it has begun to build.
    """
    begun = time.monotonic()
    trial = tried(command, tmp_path, number, after_s, begun=(tmp_path / ".photofinish" / "staging").exists)
    assert trial.is_clean, trial
    assert trial.exit_code == 128 + number
    assert trial.ended_in_s < signals.END_S / 2
    assert time.monotonic() - begun < 2 * signals.END_S
