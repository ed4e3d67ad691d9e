"""Which variants the view starts with."""

from __future__ import annotations

from collections.abc import Callable

from photofinish.client.choosing.networks import choose_network
from photofinish.client.choosing.preference import baselines, candidates
from photofinish.client.sources.opening import open_source
from photofinish.client.ui.page.split_view import Choice
from photofinish.client.ui.processes.shelf import served_cards
from photofinish.client.ui.processes.source import Pace
from photofinish.client.ui.processes.turns import TurnMode
from photofinish.errors import ConfigError, SourceError
from photofinish.names import chosen_by_name


def frame_size(source: str) -> tuple[int, int] | None:
    """Width and height of the source's pictures; None where it cannot be opened or gives none."""
    try:
        with open_source(source) as opened:
            return opened.size_wh or next((frame.size_wh for frame in opened.frames()), None)
    except SourceError:
        return None


def choice_from_server(
    url: str,
    *,
    source: str,
    baseline: str | None = None,
    optimised: str | None = None,
    model: str | None = None,
    pace: Pace = "free",
    turns: TurnMode = "auto",
    on_notice: Callable[[str], None] = lambda line: None,
) -> Choice:
    """What to run on the server at `url`: both sides of one network, the one named, else that exported last.

    baseline, optimised: variants, by full name or suffix such as onnx_fp16; the best that fits without.
    Raises ConfigError when no served model fits, or when the two are of different networks.
    """
    cards = served_cards(url)
    if not cards:
        raise ConfigError(f"{url} serves no detector; export a repository first: `photofinish export`")
    named = [name for name in (baseline, optimised) if name]
    names = choose_network(
        cards, where=url, model=model, named=named, task="detect", for_pair=True, on_notice=on_notice
    )
    same = {name: cards[name] for name in names}
    left = chosen_by_name(same, baseline, where=url) if baseline else baselines(same)[0]
    if optimised:
        right = chosen_by_name(same, optimised, where=url)
    else:
        is_simple = all(card.is_square for card in same.values())
        right = candidates(same, frame_wh=None if is_simple else frame_size(source))[0]
    return Choice(source=source, baseline=left, optimised=right, pace=pace, turns=turns)
