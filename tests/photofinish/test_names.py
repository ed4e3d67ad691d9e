"""The rule by which a user names variants."""

from __future__ import annotations

import pytest

from photofinish.errors import ConfigError
from photofinish.names import all_chosen_by_name, chosen_by_name, counted

SERVED = ("fp16", "toy_onnx_fp16", "toy_onnx_fp32", "toy_trt_fp32", "my_toy_onnx_fp32")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("toy_onnx_fp16", "toy_onnx_fp16"),  # a full name
        ("toy_onnx_fp32", "toy_onnx_fp32"),  # a full name in which another one ends
        ("fp16", "fp16"),
        ("onnx_fp16", "toy_onnx_fp16"),  # a suffix
        ("trt_fp32", "toy_trt_fp32"),
    ],
)
def test_a_full_name_or_a_suffix_of_one_name_alone(wanted: str, expected: str) -> None:
    assert chosen_by_name(SERVED, wanted, where="here") == expected
    assert all_chosen_by_name(SERVED, (wanted,), where="here") == (expected,)


def test_a_suffix_of_several_names_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ConfigError, match="fp32 fits toy_onnx_fp32, toy_trt_fp32, my_toy_onnx_fp32 at here; give the"):
        chosen_by_name(SERVED, "fp32", where="here")
    assert all_chosen_by_name(SERVED, ("onnx_fp32",), where="here") == ("toy_onnx_fp32", "my_toy_onnx_fp32")


@pytest.mark.parametrize("wanted", ["onnx_fp64", "nx_fp16", "toy", "", "_onnx_fp16"])
def test_an_unknown_name_gets_the_list_of_what_there_is(wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown variant {wanted}; here has {', '.join(SERVED)}$"):
        chosen_by_name(SERVED, wanted, where="here")
    with pytest.raises(ConfigError, match=rf"unknown variant {wanted}, other; here has"):
        all_chosen_by_name(SERVED, ("fp16", wanted, "other"), where="here")
    with pytest.raises(ConfigError, match="here has nothing"):
        chosen_by_name((), wanted, where="here")


def test_nothing_wanted_is_everything_and_the_order_is_that_of_the_names() -> None:
    assert all_chosen_by_name(SERVED, (), where="here") == SERVED
    assert all_chosen_by_name(SERVED, ("trt_fp32", "fp16"), where="here") == ("fp16", "toy_trt_fp32")


def test_one_is_counted_as_one() -> None:
    assert [counted(number, "camera") for number in (0, 1, 70)] == ["0 cameras", "1 camera", "70 cameras"]
