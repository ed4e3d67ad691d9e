from __future__ import annotations

import pytest

from photofinish.machine.architectures import (
    ARCHITECTURES,
    has_precision,
    sentence,
    target_from_capability,
    why_not_on,
)


@pytest.mark.parametrize(
    ("capability", "card", "backend", "precision", "why_not"),
    [
        ("7.5", "T4", "tensorrt", "int8", ""),
        ("7.5", "T4", "tensorrt", "fp8", "sm75 (T4, RTX 20) has no FP8 arithmetic"),
        ("7.5", "T4", "onnxruntime", "bf16", "sm75 (T4, RTX 20) has no BF16 arithmetic"),
        ("7.0", "V100", "tensorrt", "fp16", "TensorRT no longer builds for sm70 (V100)"),
        ("7.0", "V100", "onnxruntime", "fp16", ""),
        ("7.0", "V100", "onnxruntime", "int8", ""),
        ("7.0", "V100", "tensorrt", "int8", "TensorRT no longer builds for sm70 (V100)"),
        ("7.0", "V100", "onnxruntime", "bf16", "sm70 (V100) has no BF16 arithmetic"),
        ("6.1", "P40", "onnxruntime", "int8", ""),
        ("6.1", "P4", "onnxruntime", "fp16", "sm61 (P4, P40, GTX 10) has no FP16 arithmetic"),
        ("6.0", "P100", "onnxruntime", "fp16", ""),
        ("6.0", "P100", "onnxruntime", "int8", "sm60 (P100) has no INT8 arithmetic"),
        ("8.6", "A10", "tensorrt", "fp16", ""),
        ("8.6", "A10", "tensorrt", "fp8", "sm86 (A10, A40, RTX 30) has no FP8 arithmetic"),
        ("8.0", "A100", "tensorrt", "int8", ""),
        ("8.9", "RTX 40", "tensorrt", "fp8", ""),
        ("12.0", "RTX 50", "tensorrt", "fp8", ""),
        ("15.0", "", "tensorrt", "fp8", ""),
    ],
)
def test_what_each_card_can_do(capability: str, card: str, backend: str, precision: str, why_not: str) -> None:
    target = target_from_capability(capability)
    assert why_not_on(target, backend, precision) == why_not
    assert not card or card in ARCHITECTURES[target].cards


def test_a_sentence_for_each() -> None:
    assert sentence("sm86") == "sm86 (A10, A40, RTX 30) computes in FP32, FP16, BF16, INT8"
    assert sentence("sm70").startswith("sm70 (V100) computes in FP32, FP16, INT8 (INT8 without tensor cores); TensorRT")
    assert sentence("sm70").endswith("no longer take it: install PyTorch and ONNX Runtime for CUDA 12")
    assert "every precision is tried" in sentence("sm150")
    assert has_precision("sm150", "fp8")
    assert target_from_capability("[N/A]") == ""
