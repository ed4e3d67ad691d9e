"""What this machine can do with TensorRT, for `photofinish doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from photofinish.engine_record import LibraryName
from photofinish.export.tensorrt.library import (
    INSTALL,
    ProviderProblem,
    TensorRTLibrary,
    imported_library,
    problem_with,
    provider_problem,
)
from photofinish.export.tensorrt.targets import Gpu, gpu_at_hand
from photofinish.machine.architectures import named


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRTFinding:
    """One line of the report. status "note": something optional is absent; "fails": it cannot work as it is."""

    name: str
    status: Literal["works", "note", "fails"]
    found: str
    remedy: str = ""


def tensorrt_report(
    *,
    gpu: Gpu | None = None,
    find_gpu: Callable[[], Gpu | None] = gpu_at_hand,
    find_library: Callable[[LibraryName], TensorRTLibrary | None] = imported_library,
    find_problem: Callable[[], ProviderProblem | None] = provider_problem,
) -> tuple[TensorRTFinding, ...]:
    """For `tensorrt` and `tensorrt_rtx`: installed or not, and which GPUs each builds engines for here.

    Then whether ONNX Runtime finds the TensorRT it was built for. Warns of a library that does not know the GPU at
    hand. gpu: the GPU to judge by, else the one `find_gpu` finds.
    """
    here = gpu or find_gpu()
    return (
        _tensorrt(find_library("tensorrt"), here),
        _tensorrt_rtx(find_library("tensorrt_rtx"), here),
        _provider(find_problem, here),
    )


def _provider(find_problem: Callable[[], ProviderProblem | None], gpu: Gpu | None) -> TensorRTFinding:
    """Optional everywhere: the other variants of the table do without it."""
    name = "ORT TensorRT"
    if gpu is None:
        return TensorRTFinding(name=name, status="note", found="not looked for without a GPU")
    if problem := find_problem():
        remedy = f"for the variant onnx_fp16_trt: {problem.remedy}"
        return TensorRTFinding(name=name, status="note", found=problem.found, remedy=remedy)
    return TensorRTFinding(name=name, status="works", found="its libraries are there: onnx_fp16_trt can be exported")


def _tensorrt(library: TensorRTLibrary | None, gpu: Gpu | None) -> TensorRTFinding:
    name = "TensorRT"
    if library is None:
        remedy = f"{INSTALL['tensorrt']} on a GPU machine; its engines run in the container too" if gpu else ""
        found = "tensorrt is not installed" if gpu else "tensorrt is not installed, and does nothing without a GPU"
        return TensorRTFinding(name=name, status="note", found=found, remedy=remedy)
    if gpu is None:
        return TensorRTFinding(
            name=name, status="note", found=f"{library.version}, which builds on an NVIDIA GPU only and finds none here"
        )
    return _judged(name, library, gpu, f"builds and runs engines for {gpu.name} ({gpu.target})")


def _tensorrt_rtx(library: TensorRTLibrary | None, gpu: Gpu | None) -> TensorRTFinding:
    name = "TensorRT-RTX"
    if library is None:
        remedy = f"{INSTALL['tensorrt_rtx']} builds engines for RTX cards, without a GPU too"
        return TensorRTFinding(name=name, status="note", found="tensorrt_rtx is not installed", remedy=remedy)
    cards = ", ".join(map(named, library.targets))
    builds = f"builds with --target for {cards}"
    if gpu is None:
        return TensorRTFinding(
            name=name, status="works", found=f"{library.version} {builds}; runs nothing without a GPU"
        )
    return _judged(name, library, gpu, f"runs engines on {gpu.name} ({gpu.target}), {builds}")


def _judged(name: str, library: TensorRTLibrary, gpu: Gpu, what: str) -> TensorRTFinding:
    if problem := problem_with(library, gpu.target):
        return TensorRTFinding(
            name=name,
            status="note",
            found=f"does not know {gpu.name}: {problem}",
            remedy="use the other TensorRT library, or the onnxruntime variants",
        )
    return TensorRTFinding(name=name, status="works", found=f"{library.version} {what}")
