"""Which models look at one picture together, and what is refused in one line."""

from __future__ import annotations

import pytest

from photofinish.client.choosing.beside import choose_beside
from photofinish.client.pipeline.opening import choose_models
from photofinish.errors import ConfigError, ModelNotFoundError
from photofinish.model_card import ModelCard
from tests.builders import build_card


def cards() -> dict[str, ModelCard | None]:
    """A detector, a pose model of two inputs that came last, and a classifier."""
    street = {"model": "street", "weights": "street.pt", "weights_sha256": "aa", "published_ns": 1}
    pose = {"model": "pose", "weights": "best-pose.pt", "weights_sha256": "bb", "published_ns": 3, "task": "pose"}
    return {
        "street_openvino_fp32": build_card(backend="openvino", **street),
        "street_onnx_fp32_rect": build_card(input_wh=(64, 32), **street),
        "pose_openvino_fp32": build_card(backend="openvino", **pose),
        "pose_onnx_fp32": build_card(**pose),
        "pose_onnx_fp32_rect": build_card(input_wh=(64, 32), **pose),
        "kinds_onnx_fp32": build_card(model="kinds", weights_sha256="cc", published_ns=2, task="classify"),
        "strange": None,
    }


@pytest.mark.parametrize(
    ("first", "wanted", "expected"),
    [
        ("street_openvino_fp32", "pose", "pose_onnx_fp32"),
        ("street_onnx_fp32_rect", "pose", "pose_onnx_fp32_rect"),
        ("street_openvino_fp32", "best-pose.pt", "pose_onnx_fp32"),
        ("street_openvino_fp32", "runs/train/best-pose.pt", "pose_onnx_fp32"),
        ("street_openvino_fp32", "pose_onnx_fp32_rect", "pose_onnx_fp32_rect"),
        ("street_openvino_fp32", "openvino_fp32", "pose_openvino_fp32"),
        ("pose_onnx_fp32", "street", "street_openvino_fp32"),
        ("street_openvino_fp32", "strange", "strange"),
    ],
)
def test_a_model_takes_the_variant_that_reads_the_same_memory(first: str, wanted: str, expected: str) -> None:
    assert choose_beside(cards(), first, [wanted], where="here") == (expected,)


def test_the_first_is_of_another_model_than_those_beside_it() -> None:
    assert choose_models(cards(), None, [], where="here")[0].startswith("pose"), "it was exported last"
    assert choose_models(cards(), None, ["pose"], where="here") == ("street_openvino_fp32", "pose_onnx_fp32")
    assert choose_models(cards(), "onnx_fp32_rect", ["street"], where="here", model="pose") == (
        "pose_onnx_fp32_rect",
        "street_onnx_fp32_rect",
    )
    with pytest.raises(ConfigError, match="here has no model for detect"):
        choose_models(cards(), None, ["pose", "street"], where="here")
    alone = {name: card for name, card in cards().items() if name.startswith("pose")}
    with pytest.raises(ConfigError, match="here has no model beside pose; export another one"):
        choose_models(alone, None, ["pose"], where="here")


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        (
            ["walk"],
            ModelNotFoundError,
            r"unknown model or variant walk; here has street \(detect\), pose \(pose\), kinds",
        ),
        (["out/seg.pt"], ModelNotFoundError, r"exported from seg\.pt; `photofinish export --weights out/seg\.pt` does"),
        (["kinds"], ConfigError, r"kinds_onnx_fp32 is a classifier .* such as street \(detect\), pose \(pose\)$"),
        (["street"], ConfigError, r"street looks at the picture already \(as street_openvino_fp32\)"),
        (["street_onnx_fp32_rect"], ConfigError, r"compare two variants of one with `photofinish ui`"),
        (["pose", "pose_openvino_fp32"], ConfigError, r"\(as pose_onnx_fp32\), so pose_openvino_fp32 cannot be added"),
        (
            ["fp32"],
            ConfigError,
            r"fp32 fits pose_openvino_fp32, pose_onnx_fp32, kinds_onnx_fp32 at here; give the full name",
        ),
    ],
)
def test_what_cannot_look_beside_is_one_clear_line(wanted: list[str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        choose_beside(cards(), "street_openvino_fp32", wanted, where="here")
    assert "\n" not in str(caught.value)


def test_a_classifier_as_the_first_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="kinds_onnx_fp32 is a classifier"):
        choose_models(cards(), "kinds_onnx_fp32", ["pose"], where="here")
    assert choose_models(cards(), "kinds_onnx_fp32", [], where="here") == ("kinds_onnx_fp32",)
