from __future__ import annotations

import json

import pytest

from photofinish.errors import ModelRepositoryError
from photofinish.model_card import card_from_parameter
from tests.builders import build_card


def test_a_card_survives_the_config() -> None:
    card = build_card(parity={"worst_box_error_px": 0.25}, class_names=("Straße", 'quo"te'))
    text = card.to_parameter()
    assert text.isascii()
    assert card_from_parameter(text) == card


def test_an_unknown_key_of_a_later_release_is_ignored() -> None:
    values = json.loads(build_card().to_parameter())
    values["colour"] = "red"
    assert card_from_parameter(json.dumps(values)) == build_card()


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"schema_version": 1}'])
def test_an_unreadable_card_says_what_to_do(text: str) -> None:
    with pytest.raises(ModelRepositoryError, match="export the repository again"):
        card_from_parameter(text)


def test_a_newer_schema_is_refused() -> None:
    values = json.loads(build_card().to_parameter())
    values["schema_version"] = 99
    with pytest.raises(ModelRepositoryError, match="schema_version 99, this client reads 1"):
        card_from_parameter(json.dumps(values))
