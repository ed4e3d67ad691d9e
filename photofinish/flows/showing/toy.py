"""The demo detector told from others, where a command looks at pictures with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from photofinish.client.sources.synthetic import is_synthetic
from photofinish.flows import tell
from photofinish.model_card import DEMO_WEIGHTS, ModelCard

TOY = (
    "the demo detector knows drawn street scenes only: on these pictures its boxes mean nothing; export weights that "
    "know them with `photofinish export --weights best.pt` (your file) or `--weights yolo26n.pt` (from Ultralytics, "
    "over the internet), then name them here with {flag}"
)


def tell_loudly(line: str) -> None:
    """One line that stands out on a terminal."""
    tell(click.style(line, fg="yellow", bold=True))


def knows_nothing(source: str, weights: Iterable[str]) -> bool:
    """Whether the demo detector, which knows the drawn street alone, is among those that look at this source."""
    return DEMO_WEIGHTS in weights and not is_synthetic(source)


def warn_of_demo_detector(
    source: str,
    cards: Iterable[ModelCard | None],
    *,
    flag: str = "--model best",
    on_notice: Callable[[str], object] = tell_loudly,
) -> None:
    """One line where the demo detector is to look at pictures that it knows nothing of. flag: what chooses another."""
    if knows_nothing(source, [card.weights for card in cards if card is not None]):
        on_notice(TOY.format(flag=flag))
