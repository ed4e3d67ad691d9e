"""The two sides of a comparison: what each of them may be, before anybody has measured which variant is the fastest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from photofinish.client.choosing.preference import fits
from photofinish.errors import ConfigError
from photofinish.model_card import ModelCard
from photofinish.names import chosen_by_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """baseline: the side to beat. others: the other side where it is named, else all among which it is looked for."""

    baseline: str
    others: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All that must be served for them, each once."""
        return tuple(dict.fromkeys((self.baseline, *self.others)))


def sides_from_cards(
    cards: Mapping[str, ModelCard],
    baseline: str | None,
    optimised: str | None,
    *,
    sizes_wh: Collection[tuple[int, int]],
    where: str,
    on_notice: Callable[[str], None],
) -> Sides:
    """The sides by full name or suffix; without a name the baseline by role, and every other variant that fits.

    cards: of one network. sizes_wh: of the frames. Raises ConfigError for an unknown name, and for no second variant.
    """
    if not cards:
        raise ConfigError(f"{where} has no variant of Photofinish's to compare; run `photofinish export`")
    right = chosen_by_name(cards, optimised, where=where) if optimised else None
    left = chosen_by_name(cards, baseline, where=where) if baseline else default_baseline(cards, right)
    if right is not None:
        return Sides(baseline=left, others=(right,))
    others = fitting_names({name: card for name, card in cards.items() if name != left}, sizes_wh, on_notice)
    if not others:
        raise ConfigError(
            f"only {left} can be compared at {where}; a comparison needs two variants: run `photofinish export`"
        )
    return Sides(baseline=left, others=others)


def default_baseline(cards: Mapping[str, ModelCard], other: str | None) -> str:
    """The baseline by role; where none has it, the first variant that is not the other side."""
    by_role = (name for name, card in cards.items() if card.role == "baseline")
    return next(by_role, None) or next((name for name in cards if name != other), None) or next(iter(cards))


def fitting_names(
    cards: Mapping[str, ModelCard], sizes_wh: Collection[tuple[int, int]], on_notice: Callable[[str], None]
) -> tuple[str, ...]:
    """Those whose input shows all frames as large as a square would: others would be faster for seeing less."""
    fitting = []
    for name, card in cards.items():
        if all(fits(card.input_wh, size_wh) for size_wh in sizes_wh):
            fitting.append(name)
        else:
            on_notice(f"{name}: left out, the frames have another shape than its input")
    return tuple(fitting)
