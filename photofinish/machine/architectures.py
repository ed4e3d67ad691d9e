"""NVIDIA's GPU architectures: which cards have them, in which precisions they compute, and what serves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FIRST_OF_TENSORRT = 75
"""The oldest compute capability, times ten, that TensorRT since 10.5, CUDA 13 and Triton's containers take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """cards: those that have it. precisions: those it has arithmetic of its own for; the others run at FP32's speed.

    slow: those of them that its tensor cores do not have, which ordinary cores compute instead (INT8: by DP4A).
    """

    cards: str
    precisions: tuple[str, ...]
    slow: tuple[str, ...] = ()


ARCHITECTURES: Mapping[str, Architecture] = {
    "sm60": Architecture(cards="P100", precisions=("fp32", "fp16")),
    "sm61": Architecture(cards="P4, P40, GTX 10", precisions=("fp32", "int8"), slow=("int8",)),
    "sm70": Architecture(cards="V100", precisions=("fp32", "fp16", "int8"), slow=("int8",)),
    "sm72": Architecture(cards="Jetson Xavier", precisions=("fp32", "fp16", "int8")),
    "sm75": Architecture(cards="T4, RTX 20", precisions=("fp32", "fp16", "int8")),
    "sm80": Architecture(cards="A100, A30", precisions=("fp32", "fp16", "bf16", "int8")),
    "sm86": Architecture(cards="A10, A40, RTX 30", precisions=("fp32", "fp16", "bf16", "int8")),
    "sm87": Architecture(cards="Jetson Orin", precisions=("fp32", "fp16", "bf16", "int8")),
    "sm89": Architecture(cards="L4, L40, RTX 40", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
    "sm90": Architecture(cards="H100, H200", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
    "sm100": Architecture(cards="B200", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
    "sm103": Architecture(cards="B300", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
    "sm110": Architecture(cards="Jetson Thor", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
    "sm120": Architecture(cards="RTX 50, RTX PRO", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
    "sm121": Architecture(cards="DGX Spark", precisions=("fp32", "fp16", "bf16", "int8", "fp8")),
}
"""By compute capability: "sm86" is 8.6. From the precision matrices of NVIDIA's TensorRT support pages (8.x for those
before sm75), Orin and Thor from those of DRIVE OS; of these H100 and H200 were measured here."""


def target_from_capability(capability: str) -> str:
    """`sm86` from `8.6`, as nvidia-smi tells it; "" for what is none."""
    major, _, minor = capability.strip().partition(".")
    return f"sm{major}{minor}" if major.isdecimal() and minor.isdecimal() else ""


def has_precision(target: str, precision: str) -> bool:
    """Whether the architecture has arithmetic for it; True of one that is not known here, which may be a new one."""
    known = ARCHITECTURES.get(target)
    return known is None or precision in known.precisions


def why_not_on(target: str, backend: str, precision: str) -> str:
    """Why a variant cannot run on this architecture, or gains nothing there; "" where nothing is known against it."""
    if backend == "tensorrt" and _number(target) < FIRST_OF_TENSORRT:
        return f"TensorRT no longer builds for {named(target)}"
    if not has_precision(target, precision):
        return f"{named(target)} has no {precision.upper()} arithmetic"
    return ""


def named(target: str) -> str:
    """`sm86 (A10, A40, RTX 30)`."""
    known = ARCHITECTURES.get(target)
    return f"{target} ({known.cards})" if known else target


def sentence(target: str) -> str:
    """What an architecture can do, in words."""
    known = ARCHITECTURES.get(target)
    if known is None:
        return f"{target} is not known to this version: every precision is tried"
    words = f"{named(target)} computes in {', '.join(item.upper() for item in known.precisions)}"
    if known.slow:
        words += f" ({', '.join(item.upper() for item in known.slow)} without tensor cores)"
    if _number(target) < FIRST_OF_TENSORRT:
        words += "; TensorRT and CUDA 13 no longer take it: install PyTorch and ONNX Runtime for CUDA 12"
    return words


def _number(target: str) -> int:
    digits = target.removeprefix("sm")
    return int(digits) if digits.isdecimal() else FIRST_OF_TENSORRT
