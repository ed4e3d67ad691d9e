"""Which network is meant where several are served: a run has one, and whoever compares must not mix two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from photofinish.errors import ConfigError
from photofinish.model_card import BOX_TASKS, ModelCard
from photofinish.names import all_chosen_by_name, names_meant

MODEL_FLAG = "--model"
VARIANT_FLAG = "--variant, by its full name"
"""Of commands without --model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Variants that may be compared: of the same weights, for the same task, with an input of the same size.

    weights_sha256: "" where nobody knows it, and then it has one variant. side: the longer one of the input in pixels;
    a variant without padding has that of its square. published_ns: when its last variant was exported, 0 if unknown.
    unpruned_sha256: the weights that its own were pruned from, "" where they are as they were given.
    """

    model: str
    weights: str
    weights_sha256: str
    task: str
    side: int
    names: tuple[str, ...]
    published_ns: int
    unpruned_sha256: str = ""

    @property
    def text(self) -> str:
        """How a message names it: `best (best.pt, detect, 640 pixels)`; pruned weights are said to have changed."""
        changed = ", weights changed" if self.unpruned_sha256 else ""
        return f"{self.model} ({self.weights}, {self.task}, {self.side} pixels{changed})"

    def is_pruned_from(self, other: Network) -> bool:
        """Whether its weights were made from the other's, for the same task and size of input."""
        same = (self.task, self.side) == (other.task, other.side)
        return bool(self.unpruned_sha256) and self.unpruned_sha256 == other.weights_sha256 and same


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
            unpruned_sha256=cards[names[0]].unpruned_sha256,
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
    weights_changed: bool = False,
    flag: str = MODEL_FLAG,
    on_notice: Callable[[str], None] = lambda line: None,
) -> tuple[str, ...]:
    """The variants of one network, in the order of `cards`.

    model: its name. named: variants, by full name or suffix, that must all belong to it. task: what it must do; a model
    with keypoints detects as well.
    Where these leave several, the one exported last, which on_notice is told; where that is not known, and where none
    fits, a ConfigError with what was found and the flag that chooses. for_pair: where it is not known, one that alone
    has a baseline and another variant is taken.
    flag: what the user chooses with, where the command has no --model.
    weights_changed: count what was pruned from a network to it, but for the pruned baseline; the one exception to one
    network a run. ConfigError where nothing was pruned from any.
    """
    networks = networks_from_cards(cards)
    if weights_changed:
        networks = _with_pruned(networks, cards, where)
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
            f"{where} has several models: {listed}; {_remedy(fitting, flag)} (a run has one network, and which of "
            "these was exported last is not known)"
        )
    chosen = fitting[0]
    if len(fitting) > 1:
        others = ", ".join(item.text for item in fitting[1:])
        why = "exported last" if len(last) == 1 else "the only one with a baseline and another variant"
        on_notice(f"model: {chosen.text}, {why}; there is also {others}: {_remedy(fitting, flag)}")
    return chosen.names


def _with_pruned(networks: Sequence[Network], cards: Mapping[str, ModelCard], where: str) -> tuple[Network, ...]:
    """Each network that others were pruned from, with their variants in it; the others are then no networks."""
    joined = []
    for network in networks:
        pruned = [
            name
            for item in networks
            if item.is_pruned_from(network)
            for name in item.names
            if cards[name].role != "baseline"
        ]
        if pruned:
            names = tuple(name for name in cards if name in (*network.names, *pruned))
            joined.append(replace(network, names=names))
    if not joined:
        raise ConfigError(
            f"--weights-changed: {where} has no variants pruned from others of its own; export both: `photofinish "
            "export --weights FILE.pt`, and the same with `--prune 0.3 --data data.yaml`"
        )
    return tuple(joined)


def _remedy(fitting: Sequence[Network], flag: str) -> str:
    """What chooses among these: their names, unless they share one; variants by name where nobody knows weights."""
    if not any(item.weights_sha256 for item in fitting):
        return "nothing tells which of them are the same weights, so name the variants themselves"
    if len({item.model for item in fitting}) == len(fitting):
        return f"choose with {flag}"
    return f"choose with {flag}, or export again what shares a name"


def _unknown_together(fitting: Sequence[Network], named: Sequence[str]) -> tuple[str, ...]:
    """Variants that were all named and of whose weights nothing is known: that they are one network is the user's word.

    Raises ConfigError for any others that do not belong to one network.
    """
    meant = [item for item in fitting if any(names_meant(item.names, name) for name in named)]
    if all(not item.weights_sha256 for item in meant) and len({(item.task, item.side) for item in meant}) == 1:
        return tuple(name for item in meant for name in item.names)
    listed = ", ".join(f"{', '.join(item.names)} of {item.text}" for item in meant)
    if any(one.is_pruned_from(other) for one in meant for other in meant):
        raise ConfigError(
            f"{', '.join(named)} are not one network: {listed}; one was pruned from the other, so its weights changed: "
            "pass --weights-changed to `photofinish perf` where they are to be compared all the same"
        )
    raise ConfigError(
        f"{', '.join(named)} are not one network: {listed}; compare variants of one, chosen with --model, so that a "
        "difference in speed is not one between networks"
    )
