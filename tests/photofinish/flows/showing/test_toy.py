"""Whoever looks at real pictures with the demo detector is told."""

from __future__ import annotations

import pytest

from photofinish.flows.showing.toy import warn_of_demo_detector
from photofinish.model_card import DEMO_WEIGHTS
from tests.builders import build_card

DEMO, OWN = build_card(weights=DEMO_WEIGHTS), build_card(weights="best.pt")


@pytest.mark.parametrize(
    ("source", "card", "is_said"),
    [
        ("street.mp4", DEMO, True),
        ("0", DEMO, True),
        ("synthetic.mp4", DEMO, True),
        ("synthetic", DEMO, False),
        ("synthetic?seed=2", DEMO, False),
        ("street.mp4", OWN, False),
        ("street.mp4", None, False),
    ],
)
def test_the_demo_detector_is_told_where_pictures_are_not_drawn(source: str, card: object, is_said: bool) -> None:
    told: list[str] = []
    warn_of_demo_detector(source, [OWN, card], flag="--variant", on_notice=told.append)  # type: ignore[list-item]
    assert [line.endswith("name them here with --variant") for line in told] == [True] * is_said
