"""One network per run: which is meant, and what is refused."""

from __future__ import annotations

import pytest

from photofinish.client.choosing.networks import VARIANT_FLAG, choose_network
from photofinish.errors import ConfigError
from photofinish.model_card import ModelCard
from tests.builders import build_card

DEMO, LAST = "aa" * 32, "bb" * 32


def cards(*, demo_ns: int = 1, last_ns: int = 2) -> dict[str, ModelCard]:
    """The demo detector with two variants, and a classifier that was exported after it; the latter first by name."""
    demo = {"model": "demo", "weights": "demo.pt", "weights_sha256": DEMO, "published_ns": demo_ns}
    last = {"model": "class", "weights": "c.pt", "weights_sha256": LAST, "published_ns": last_ns, "task": "classify"}
    return {
        "class_onnx_fp32": build_card(variant="class_onnx_fp32", **last),
        "demo_onnx_fp32": build_card(variant="demo_onnx_fp32", **demo),
        "demo_torch_fp32_tensor": build_card(variant="demo_torch_fp32_tensor", role="baseline", **demo),
    }


DETECTORS = ("demo_onnx_fp32", "demo_torch_fp32_tensor")


def test_the_one_exported_last_is_taken_and_told() -> None:
    told: list[str] = []
    assert choose_network(cards(), where="here", on_notice=told.append) == ("class_onnx_fp32",)
    (line,) = told
    assert line.startswith("model: class (c.pt, classify, 64 pixels), exported last; there is also demo (demo.pt, ")
    assert line.endswith("choose with --model")
    choose_network(cards(), where="here", flag=VARIANT_FLAG, on_notice=told.append)
    assert told[1].endswith("choose with --variant, by its full name"), "commands of cameras have no --model"
    assert choose_network(cards(demo_ns=3), where="here") == DETECTORS


def test_the_name_decides_and_an_unknown_one_gets_the_list() -> None:
    told: list[str] = []
    assert choose_network(cards(), where="here", model="demo", on_notice=told.append) == DETECTORS
    assert told == []
    with pytest.raises(ConfigError, match=r"unknown model dem; here has class \(.*\), demo \(.*--model"):
        choose_network(cards(), where="here", model="dem")


def test_a_task_leaves_out_what_cannot_do_it() -> None:
    told: list[str] = []
    assert choose_network(cards(), where="here", task="detect", on_notice=told.append) == DETECTORS
    assert told == [], "there is one detector: nothing was chosen"
    with pytest.raises(ConfigError, match=r"here has no model for segment, found class \(c.pt, classify"):
        choose_network(cards(), where="here", task="segment")


def test_named_variants_decide_and_must_be_of_one_network() -> None:
    named = choose_network(cards(), where="here", named=["torch_fp32_tensor"])
    assert named == DETECTORS
    assert choose_network(cards(), where="here", named=["onnx_fp32"]) == ("class_onnx_fp32",), "the last one of two"
    with pytest.raises(ConfigError, match=r"not one network: class_onnx_fp32 of class .* demo_torch_fp32_tensor of"):
        choose_network(cards(), where="here", named=["class_onnx_fp32", "demo_torch_fp32_tensor"])
    with pytest.raises(ConfigError, match="unknown variant trt_fp16; here has"):
        choose_network(cards(), where="here", named=["trt_fp16"])


def test_several_are_a_list_where_nobody_knows_which_came_last() -> None:
    with pytest.raises(ConfigError, match=r"several models: class \(.*demo \(.*; choose with --model"):
        choose_network(cards(demo_ns=0, last_ns=0), where="here")


def test_where_nobody_knows_the_one_that_can_be_compared_is_taken_for_a_comparison() -> None:
    told: list[str] = []
    known = cards(demo_ns=0, last_ns=0)
    assert choose_network(known, where="here", for_pair=True, on_notice=told.append) == DETECTORS
    assert "the only one with a baseline and another variant; there is also class (" in told[0]
    assert choose_network(cards(), where="here", for_pair=True) == ("class_onnx_fp32",)


def test_another_size_of_input_is_another_network_and_one_without_padding_is_not() -> None:
    known = cards(last_ns=0) | {"demo_small": build_card(model="demo", weights_sha256=DEMO, input_wh=(32, 32))}
    assert choose_network(known, where="here", model="demo") == DETECTORS
    with pytest.raises(ConfigError, match="not one network"):
        choose_network(known, where="here", named=["demo_small", "torch_fp32_tensor"])
    flat = known | {"demo_rect": build_card(model="demo", weights_sha256=DEMO, weights="demo.pt", input_wh=(64, 32))}
    assert choose_network(flat, where="here", named=["rect"]) == (*DETECTORS, "demo_rect")


def test_models_of_unknown_weights_are_compared_only_where_both_are_named() -> None:
    foreign = {name: build_card(model=name, weights="unknown", weights_sha256="") for name in ("pt", "plan")}
    assert choose_network({"pt": foreign["pt"]}, where="here") == ("pt",)
    assert choose_network(foreign, where="here", named=["pt", "plan"]) == ("pt", "plan")
    with pytest.raises(ConfigError, match=r"several models: .*nothing tells which of them are the same weights"):
        choose_network(foreign, where="here")
    with pytest.raises(ConfigError, match="not one network"):
        choose_network(foreign | cards(), where="here", named=["pt", "demo_onnx_fp32"])


def pruned() -> dict[str, ModelCard]:
    """The demo detector, and what was pruned from it."""
    made = {"model": "demo-pruned30", "weights": "p.pt", "weights_sha256": "cc" * 32, "published_ns": 9}
    made["weights_changed"] = {"by": "pruning", "from_sha256": DEMO, "from_model": "demo"}
    own = {name: card for name, card in cards().items() if card.model == "demo"}
    for suffix, role in (("onnx_fp32", "optimised"), ("torch_fp32_tensor", "baseline")):
        name = f"demo-pruned30_{suffix}"
        own[name] = build_card(variant=name, role=role, **made)
    return own


def test_pruned_weights_are_another_network_unless_it_is_said_that_they_changed() -> None:
    both = ["demo_torch_fp32_tensor", "demo-pruned30_onnx_fp32"]
    with pytest.raises(ConfigError, match=r"are not one network: .*, weights changed\).*; one was pruned.*--weights-"):
        choose_network(pruned(), where="here", named=both)
    assert choose_network(pruned(), where="here") == ("demo-pruned30_onnx_fp32", "demo-pruned30_torch_fp32_tensor")
    chosen = choose_network(pruned(), where="here", named=both, weights_changed=True)
    assert chosen == (*DETECTORS, "demo-pruned30_onnx_fp32"), "one baseline: the unpruned one"
    with pytest.raises(ConfigError, match="--weights-changed: here has no variants pruned from others"):
        choose_network(cards(), where="here", weights_changed=True)
