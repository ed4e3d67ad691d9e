"""Which variant `detect` takes: the best of the detector exported last, never the first by name."""

from __future__ import annotations

import pytest

from photofinish.client.pipeline.opening import choose_model
from photofinish.errors import ConfigError, ModelNotFoundError
from photofinish.model_card import ModelCard
from tests.builders import build_card


def cards() -> dict[str, ModelCard | None]:
    """Two detectors, of which the second by name came last, and a classifier that came after both."""
    first = {"model": "a", "weights_sha256": "aa", "published_ns": 1}
    last = {"model": "b", "weights_sha256": "bb", "published_ns": 2}
    return {
        "a_onnx_fp32": build_card(**first),
        "b_onnx_fp16": build_card(precision="fp16", **last),
        "b_openvino_fp32_rect": build_card(backend="openvino", input_wh=(64, 32), **last),
        "b_onnx_fp32": build_card(**last),
        "b_torch_fp32_tensor": build_card(backend="pytorch", role="baseline", contract="tensor", **last),
        "c_onnx_fp32": build_card(model="c", weights_sha256="cc", published_ns=3, task="classify"),
        "strange": None,
    }


def test_the_best_of_the_detector_exported_last() -> None:
    told: list[str] = []
    assert choose_model(cards(), None, where="here", on_notice=told.append) == "b_onnx_fp32"
    assert len(told) == 1
    assert told[0].startswith("model: b (")
    assert choose_model(cards(), None, where="here", model="a") == "a_onnx_fp32"
    only_rect = {name: card for name, card in cards().items() if name not in ("b_onnx_fp32", "b_onnx_fp16")}
    assert choose_model(only_rect, None, where="here", frame_wh=(640, 320)) == "b_openvino_fp32_rect"


def test_a_name_decides_and_a_suffix_is_looked_for_in_one_model() -> None:
    assert choose_model(cards(), "torch_fp32_tensor", where="here") == "b_torch_fp32_tensor"
    assert choose_model(cards(), "c_onnx_fp32", where="here") == "c_onnx_fp32"
    assert choose_model(cards(), "onnx_fp32", where="here", model="a") == "a_onnx_fp32"
    assert choose_model(cards(), "strange", where="here") == "strange", "it is told later what is wrong with it"


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(ModelNotFoundError, match="here has no model; run"):
        choose_model({}, None, where="here")
    with pytest.raises(ModelNotFoundError, match="unknown variant trt_fp16; here has a_onnx_fp32, b_onnx_fp16"):
        choose_model(cards(), "trt_fp16", where="here")
    with pytest.raises(ConfigError, match=r"unknown model d; here has .*--model"):
        choose_model(cards(), None, where="here", model="d")
