"""What `photofinish doctor` says of TensorRT on machines of every kind."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace

import pytest

from photofinish.engine_record import LibraryName
from photofinish.export.tensorrt.library import ProviderProblem, TensorRTLibrary
from photofinish.export.tensorrt.report import tensorrt_report
from photofinish.export.tensorrt.targets import Gpu

RTX_5070 = Gpu(name="NVIDIA GeForce RTX 5070", target="sm120")
H100 = Gpu(name="NVIDIA H100", target="sm90")


class Capabilities(Enum):
    NONE = 0
    SM89 = 1
    SM120 = 2


def library(name: LibraryName, version: str) -> TensorRTLibrary:
    module = SimpleNamespace(ComputeCapability=Capabilities) if name == "tensorrt_rtx" else SimpleNamespace()
    return TensorRTLibrary(name=name, version=version, module=module)


@pytest.mark.parametrize(
    ("gpu", "installed", "expected"),
    [
        (
            None,
            {},
            [("note", "tensorrt is not installed", ""), ("note", "tensorrt_rtx is not installed", "pip install")],
        ),
        (RTX_5070, {}, [("note", "tensorrt is not installed", "pip install tensorrt-cu13"), ("note", "not", "pip")]),
        (
            None,
            {"tensorrt": "11.4.0", "tensorrt_rtx": "1.7.1"},
            [("note", "11.4.0, which builds on an NVIDIA GPU only", ""), ("works", "sm89 (L4, L40, RTX 40)", "")],
        ),
        (
            RTX_5070,
            {"tensorrt": "11.4.0", "tensorrt_rtx": "1.7.1"},
            [
                ("works", "11.4.0 builds and runs engines for NVIDIA GeForce RTX 5070", ""),
                ("works", "runs engines", ""),
            ],
        ),
        (
            RTX_5070,
            {"tensorrt": "10.3.0"},
            [
                ("note", "does not know NVIDIA GeForce RTX 5070: tensorrt 10.3.0 is older than 10.8", "other"),
                ("note", "", ""),
            ],
        ),
        (
            H100,
            {"tensorrt_rtx": "1.7.1"},
            [
                ("note", "", ""),
                ("note", "does not know NVIDIA H100: tensorrt_rtx 1.7.1 knows sm89, sm120", "onnxruntime"),
            ],
        ),
    ],
    ids=["nothing", "gpu alone", "libraries alone", "all", "too old", "rtx without sm90"],
)
def test_report(gpu: Gpu | None, installed: dict[LibraryName, str], expected: list[tuple[str, str, str]]) -> None:
    findings = tensorrt_report(
        find_gpu=lambda: gpu,
        find_library=lambda name: library(name, installed[name]) if name in installed else None,
        find_problem=lambda: "",
    )[:2]
    assert [finding.status for finding in findings] == [status for status, _, _ in expected]
    for finding, (_, found, remedy) in zip(findings, expected, strict=True):
        assert found in finding.found
        assert remedy in finding.remedy


def test_report_of_this_machine() -> None:
    names = [finding.name for finding in tensorrt_report()]
    assert names == ["TensorRT", "TensorRT-RTX", "ORT TensorRT"]


NO_LIBRARY = ProviderProblem(found="no libnvinfer.so.10 (cannot open; no such file)", remedy="pip install it")


@pytest.mark.parametrize(
    ("gpu", "problem", "status", "found", "remedy"),
    [
        (None, NO_LIBRARY, "note", "not looked for without a GPU", ""),
        (RTX_5070, None, "works", "onnx_fp16_trt can be exported", ""),
        (
            RTX_5070,
            NO_LIBRARY,
            "note",
            "no libnvinfer.so.10 (cannot open; no such file)",
            "onnx_fp16_trt: pip install it",
        ),
    ],
)
def test_report_of_the_provider(
    gpu: Gpu | None, problem: ProviderProblem | None, status: str, found: str, remedy: str
) -> None:
    finding = tensorrt_report(find_gpu=lambda: gpu, find_library=lambda name: None, find_problem=lambda: problem)[2]
    assert finding.status == status
    assert found in finding.found
    assert remedy in finding.remedy
