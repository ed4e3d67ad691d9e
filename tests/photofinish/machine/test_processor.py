"""What this machine says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from photofinish.machine.processor import (
    arithmetic_words,
    cpu_name,
    distribution,
    load_average,
    memory_gib,
    processor_quota,
    system_name,
    usable_cores,
)


def test_the_processors_name(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Toy(R) CPU @ 2.00GHz\nmodel name\t: Other\n")
    assert cpu_name(cpuinfo) == "Toy(R) CPU @ 2.00GHz"
    assert cpu_name(tmp_path / "none")


def test_what_a_processor_computes_in() -> None:
    assert arithmetic_words({"fpu", "amx_bf16", "avx512_bf16"}) == "BF16 (amx_bf16, avx512_bf16)"
    assert arithmetic_words({"avx512_bf16", "avx512_vnni"}) == "BF16 (avx512_bf16), INT8 (avx512_vnni)"
    assert arithmetic_words({"avx2"}) == "nothing narrower than FP32 by instructions of its own"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "850000 100000", "a/b/cpu.max": "max 100000"}, 8.5),
        ("0::/a/b\n", {"a/cpu.max": "850000 100000", "a/b/cpu.max": "200000 100000"}, 2.0),
        ("0::/\n", {"cpu.max": "400000 100000"}, 4.0),
        ("0::/\n", {}, None),
        (
            "3:cpu,cpuacct:/box\n1:name=systemd:/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "600000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            6.0,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_what_control_groups_leave_of_the_processor(
    own: str, files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(f"{text}\n")
    assert processor_quota(tmp_path / "groups", tmp_path / "own") == quota
    assert processor_quota(tmp_path, tmp_path / "none") is None


def test_this_machine() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
    assert round(memory_gib(), 1) == round(psutil.virtual_memory().total / 2**30, 1)
    assert load_average() >= 0
    assert system_name().startswith(os.uname().sysname)
    assert distribution()
