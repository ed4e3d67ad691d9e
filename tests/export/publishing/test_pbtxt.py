from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from photofinish.export.publishing.pbtxt import Enum, text_from_message

AWKWARD = 'quote " backslash \\ newline \n tab \t ü 猫 \x7f'


def test_every_kind_of_value_survives_a_parse() -> None:
    message = {
        "name": AWKWARD,
        "max_batch_size": 8,
        "input": [
            {"name": "a", "data_type": Enum("TYPE_UINT8"), "dims": [4, 4, 3]},
            {"name": "b", "data_type": Enum("TYPE_FP32"), "dims": [-1], "optional": True},
        ],
        "parameters": [{"key": "k", "value": {"string_value": AWKWARD}}],
    }
    config = text_format.Parse(text_from_message(message), model_config_pb2.ModelConfig())
    assert config.name == AWKWARD
    assert config.max_batch_size == 8
    assert [list(item.dims) for item in config.input] == [[4, 4, 3], [-1]]
    assert config.input[1].optional
    assert config.parameters["k"].string_value == AWKWARD


def test_text_is_ascii() -> None:
    assert text_from_message({"name": AWKWARD}).isascii()


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="got float"):
        text_from_message({"name": 1.5})
