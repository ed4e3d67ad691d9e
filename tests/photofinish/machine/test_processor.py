"""What this machine says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from photofinish.machine.processor import (
    arithmetic_words,
    cpu_name,
    distribution,
    load_average,
    memory_gib,
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


def test_this_machine() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
    assert round(memory_gib(), 1) == round(psutil.virtual_memory().total / 2**30, 1)
    assert load_average() >= 0
    assert system_name().startswith(os.uname().sysname)
    assert distribution()
