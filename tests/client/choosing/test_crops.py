"""Which models look at crops of the first one's boxes, and what is refused in one line."""

from __future__ import annotations

import pytest

from photofinish.client.choosing.crops import CropChoice, choose_crops, crop_choice_from_text
from photofinish.client.pipeline.opening import choose_models
from photofinish.errors import ConfigError, ModelNotFoundError
from photofinish.model_card import ModelCard
from tests.builders import build_card


def cards() -> dict[str, ModelCard | None]:
    """A detector, a face model that came last, and a classifier."""
    face = {"model": "face", "weights": "face.onnx", "weights_sha256": "bb", "published_ns": 3, "task": "pose"}
    return {
        "street_openvino_fp32": build_card(
            model="street", backend="openvino", class_names=("Person", "car", "bus"), published_ns=1
        ),
        "street_onnx_fp32": build_card(model="street", published_ns=1),
        "face_onnx_fp16": build_card(precision="fp16", **face),
        "face_onnx_fp32": build_card(input_wh=(32, 32), **face),
        "kinds_onnx_fp32": build_card(
            model="kinds", weights="torchvision:resnet18", weights_sha256="cc", published_ns=2, task="classify"
        ),
        "strange": None,
    }


@pytest.mark.parametrize(
    ("text", "model", "classes"),
    [
        ("face", "face", ()),
        ("face:person", "face", ("person",)),
        (" kinds: car, bus,car ", "kinds", ("car", "bus")),
        ("torchvision:resnet18", "torchvision:resnet18", ()),
        ("torchvision:resnet18:car", "torchvision:resnet18", ("car",)),
    ],
)
def test_a_model_and_the_classes_behind_it(text: str, model: str, classes: tuple[str, ...]) -> None:
    choice = crop_choice_from_text(text, limit=3, min_side=9, margin=0.2)
    assert choice == CropChoice(model=model, classes=classes, limit=3, min_side=9, margin=0.2)


@pytest.mark.parametrize("text", ["", ":car", "face:", "face:car,,bus"])
def test_a_choice_without_a_model_or_with_an_empty_class(text: str) -> None:
    with pytest.raises(ConfigError, match="crops must name a model, and classes behind a colon"):
        crop_choice_from_text(text)


def test_the_best_variant_looks_and_classes_are_spelled_as_the_first_model_has_them() -> None:
    wanted = [crop_choice_from_text("face.onnx:PERSON"), crop_choice_from_text("torchvision:resnet18")]
    chosen = choose_crops(cards(), ("street_openvino_fp32",), wanted, where="here")
    assert chosen == (CropChoice(model="face_onnx_fp32", classes=("Person",)), CropChoice(model="kinds_onnx_fp32"))
    assert choose_models(cards(), None, [], where="here", crops=wanted)[0].startswith("street"), "the last is taken"
    assert choose_crops(cards(), ("strange",), [CropChoice(model="face", classes=("x",))], where="here") == (
        CropChoice(model="face_onnx_fp32", classes=("x",)),
    )
    assert choose_crops(cards(), ("street_onnx_fp32",), [], where="here") == ()


@pytest.mark.parametrize(
    ("looking", "wanted", "error", "said"),
    [
        (["street_openvino_fp32"], ["walk"], ModelNotFoundError, r"unknown model or variant walk; here has street"),
        (["street_openvino_fp32"], ["a/seg.pt"], ModelNotFoundError, r"`photofinish export --weights a/seg\.pt` does"),
        (["street_openvino_fp32"], ["street"], ConfigError, r"street looks already \(as street_openvino_fp32\)"),
        (["street_onnx_fp32", "face_onnx_fp16"], ["face"], ConfigError, r"looks already \(as face_onnx_fp16\)"),
        (["street_onnx_fp32"], ["face", "face_onnx_fp16"], ConfigError, r"face looks already \(as face_onnx_fp32\)"),
        (["street_onnx_fp32"], ["kinds:car", "kinds:bus"], ConfigError, "all its classes at once, as in kinds:car,bus"),
        (["kinds_onnx_fp32"], ["face"], ConfigError, r"kinds_onnx_fp32 is a classifier .* such as street \(detect\)"),
        (["street_openvino_fp32"], ["face:dog"], ConfigError, r"no class 'dog' .*; it has Person, car, bus$"),
    ],
)
def test_what_cannot_be_a_second_stage_is_one_clear_line(
    looking: list[str], wanted: list[str], error: type[Exception], said: str
) -> None:
    choices = [crop_choice_from_text(text) for text in wanted]
    with pytest.raises(error, match=said) as caught:
        choose_crops(cards(), looking, choices, where="here")
    assert "\n" not in str(caught.value)


def test_a_limit_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ConfigError, match="limit and smallest side must be at least 1, got 0, 16"):
        CropChoice(model="face", limit=0)
    for margin in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=r"the margin must lie within 0\.\.1, .* such as 0\.2, got "):
            crop_choice_from_text("face", margin=margin)
