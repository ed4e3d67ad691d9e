"""This machine's processor, memory and system."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Of `processor_flags`; with one of them a processor computes in bfloat16 itself."""

_INT8_FLAGS = frozenset({"amx_int8", "avx512_vnni", "avx_vnni"})
"""With one of them it multiplies eight-bit numbers in one instruction."""


def arithmetic_words(flags: set[str]) -> str:
    """What a processor with these flags computes in besides FP32, and by which: `BF16 (amx_bf16), INT8 (amx_int8)`."""
    found = {"BF16": sorted(BF16_FLAGS & flags), "INT8": sorted(_INT8_FLAGS & flags)}
    has = [f"{name} ({', '.join(which)})" for name, which in found.items() if which]
    return ", ".join(has) or "nothing narrower than FP32 by instructions of its own"


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as its maker writes it; "unknown" where nobody tells."""
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the first processor can do, in the kernel's words; nothing where the kernel does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """How many cores' time this process's control groups let it use; None where they set no limit.

    The files of version 2 (`cpu.max`) and 1 (`cpu.cfs_quota_us`), of every group from its own up to the top.
    """
    found = []
    with suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = groups / controllers if controllers else groups
            below = Path(path.lstrip("/"))
            found += [quota for part in (below, *below.parents) if (quota := _quota_in(top / part))]
    return min(found, default=None)


def _quota_in(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if quota != "max" and float(quota) > 0 else None
    return None


def keep_to_cores(cores: Collection[int]) -> None:
    """From now on this process computes on these cores alone, with all threads that it has or starts."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


def memory_gib() -> float:
    """The machine's memory in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def load_average() -> float:
    """Processes that ran or waited to, averaged over the last minute."""
    return os.getloadavg()[0]


def system_name() -> str:
    """The kernel and its release."""
    return f"{platform.system()} {platform.release()}"


def distribution() -> str:
    """The distribution as it calls itself; "unknown" where it does not."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"
