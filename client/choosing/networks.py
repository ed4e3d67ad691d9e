"""Which network is meant where several are served: a run has one, and whoever compares must not mix two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from photofinish.errors import ConfigError
from photofinish.model_card import BOX_TASKS, ModelCard
from photofinish.names import all_chosen_by_name, names_meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Variants that may be compared: of the same weights, for the same task, with an input of the same size.

    weights_sha256: "" where nobody knows it, and then it has one variant. side: the longer one of the input in pixels;
    a variant without padding has that of its square. published_ns: when its last variant was exported, 0 if unknown.
    """

    model: str
    weights: str
    weights_sha256: str
    task: str
    side: int
    names: tuple[str, ...]
    published_ns: int

    @property
    def text(self) -> str:
        """How a message names it: `best (best.pt, detect, 640 pixels)`."""
        return f"{self.model} ({self.weights}, {self.task}, {self.side} pixels)"


def networks_from_cards(cards: Mapping[str, ModelCard]) -> tuple[Network, ...]:
    """The networks among these variants, the one exported last first."""
    members: dict[tuple[str, str, str, int], list[str]] = {}
    for name, card in cards.items():
        members.setdefault((card.model, card.weights_sha256, card.task, max(card.input_wh)), []).append(name)
    found = [
        Network(
            model=model,
            weights=cards[names[0]].weights,
            weights_sha256=sha256,
            task=task,
            side=side,
            names=tuple(names),
            published_ns=max(cards[name].published_ns for name in names),
        )
        for (model, sha256, task, side), names in members.items()
    ]
    return tuple(sorted(found, key=lambda item: -item.published_ns))


def choose_network(
    cards: Mapping[str, ModelCard],
    *,
    where: str,
    model: str | None = None,
    named: Sequence[str] = (),
    task: str | None = None,
    for_pair: bool = False,
    on_notice: Callable[[str], None] = lambda line: None,
) -> tuple[str, ...]:
    """The variants of one network, in the order of `cards`.

    model: its name. named: variants, by full name or suffix, that must all belong to it. task: what it must do; a model
    with keypoints detects as well.
    Where these leave several, the one exported last, which on_notice is told; where that is not known, and where none
    fits, a ConfigError with what was found and the flag that chooses. for_pair: where it is not known, one that alone
    has a baseline and another variant is taken.
    """
    networks = networks_from_cards(cards)
    fitting = [item for item in networks if task in (None, item.task) or (task == "detect" and item.task in BOX_TASKS)]
    if not fitting:
        found = ", ".join(item.text for item in networks) or "nothing"
        raise ConfigError(f"{where} has no model for {task or 'any task'}, found {found}; run `photofinish export`")
    if model is not None:
        fitting = [item for item in fitting if item.model == model]
        if not fitting:
            known = ", ".join(dict.fromkeys(item.text for item in networks))
            raise ConfigError(f"unknown model {model}; {where} has {known}; choose one of them with --model")
    if named:
        all_chosen_by_name([name for item in fitting for name in item.names], named, where=where)
        within = [item for item in fitting if all(names_meant(item.names, name) for name in named)]
        if not within:
            return _unknown_together(fitting, named)
        fitting = within
    last = [item for item in fitting if item.published_ns == fitting[0].published_ns]
    pairs = [item for item in last if len({cards[name].role == "baseline" for name in item.names}) == 2]
    if for_pair and len(pairs) == 1:
        fitting = [*pairs, *(item for item in fitting if item not in pairs)]
    elif len(last) > 1:
        listed = ", ".join(item.text for item in fitting)
        raise ConfigError(
            f"{where} has several models: {listed}; {_remedy(fitting)} (a run has one network, and which of these was "
            "exported last is not known)"
        )
    chosen = fitting[0]
    if len(fitting) > 1:
        others = ", ".join(item.text for item in fitting[1:])
        why = "exported last" if len(last) == 1 else "the only one with a baseline and another variant"
        on_notice(f"model: {chosen.text}, {why}; there is also {others}: {_remedy(fitting)}")
    return chosen.names


def _remedy(fitting: Sequence[Network]) -> str:
    """What chooses among these: their names, unless they share one; variants by name where nobody knows weights."""
    if not any(item.weights_sha256 for item in fitting):
        return "nothing tells which of them are the same weights, so name the variants themselves"
    if len({item.model for item in fitting}) == len(fitting):
        return "choose with --model"
    return "choose with --model, or export again what shares a name"


def _unknown_together(fitting: Sequence[Network], named: Sequence[str]) -> tuple[str, ...]:
    """Variants that were all named and of whose weights nothing is known: that they are one network is the user's word.

    Raises ConfigError for any others that do not belong to one network.
    """
    meant = [item for item in fitting if any(names_meant(item.names, name) for name in named)]
    if all(not item.weights_sha256 for item in meant) and len({(item.task, item.side) for item in meant}) == 1:
        return tuple(name for item in meant for name in item.names)
    listed = ", ".join(f"{', '.join(item.names)} of {item.text}" for item in meant)
    raise ConfigError(
        f"{', '.join(named)} are not one network: {listed}; compare variants of one, chosen with --model, so that a "
        "difference in speed is not one between networks"
    )
