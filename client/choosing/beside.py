"""Which further models look at the same picture, and which of their variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from photofinish.client.choosing.preference import candidates
from photofinish.errors import ConfigError, ModelNotFoundError
from photofinish.model_card import ModelCard
from photofinish.names import chosen_by_name, names_meant

WEIGHTS_SUFFIXES = (".pt", ".pth", ".onnx", ".engine", ".torchscript")


def choose_beside(
    cards: Mapping[str, ModelCard | None],
    first: str,
    wanted: Sequence[str],
    *,
    where: str,
    frame_wh: tuple[int, int] | None = None,
) -> tuple[str, ...]:
    """The variants that look at the same picture as `first`, one for each of `wanted`, in that order.

    cards: as `choose_model` has them. wanted: each a variant by full name or suffix, a model by its name, or the name
    of the weights that it was exported from. Of a model the best variant is taken that reads the same memory as
    `first`, without one the best that fits pictures of `frame_wh`.

    Raises ModelNotFoundError that lists what there is, and ConfigError for a classifier and for a model named twice.
    """
    if not wanted:
        return ()
    names = [first]
    for item in wanted:
        names.append(variant_meant(cards, first, item, where, frame_wh))
    told: dict[str, str] = {}
    for name, said in zip(names, (first, *wanted), strict=True):
        if (card := cards[name]) is None:
            continue  # whoever opens it says what it lacks
        if not card.has_boxes:
            raise ConfigError(
                f"{name} is a classifier (task {card.task}): it tells a class of the whole picture and no boxes; "
                f"several models on one picture must be detectors or models with keypoints, such as "
                f"{listed_models(cards, boxes_only=True)}"
            )
        if card.model in told:
            raise ConfigError(
                f"{card.model} looks at the picture already (as {told[card.model]}), so {said} cannot be added; name "
                "another model, or compare two variants of one with `photofinish ui`; "
                f"{where} has {listed_models(cards)}"
            )
        told[card.model] = name
    return tuple(names[1:])


def models_meant(cards: Mapping[str, ModelCard | None], wanted: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Which models these are variants, names or weights of. Raises as `choose_beside` does for what is not there."""
    cards_meant = (cards[variant_meant(cards, "", item, where, None)] for item in wanted)
    return tuple(dict.fromkeys(card.model for card in cards_meant if card is not None))


def variant_meant(
    cards: Mapping[str, ModelCard | None],
    first: str,
    item: str,
    where: str,
    frame_wh: tuple[int, int] | None = None,
    *,
    like_first: bool = True,
) -> str:
    """The variant that `item` means beside `first`, "" for none; like_first: one that reads the same memory, if any.

    Raises ModelNotFoundError, and ConfigError where it fits several.
    """
    if item in cards:
        return item
    usable = {name: card for name, card in cards.items() if card is not None}
    file = PurePath(item).name
    of_model = {name: card for name, card in usable.items() if item == card.model or file == card.weights}
    if of_model:
        newest = max(of_model.values(), key=lambda card: card.published_ns).model
        same = {name: card for name, card in of_model.items() if card.model == newest}
        lead = usable.get(first) if like_first else None
        ranked = candidates(same, frame_wh=frame_wh)
        return sorted(ranked, key=lambda name: lead is None or _layout(same[name]) != _layout(lead))[0]
    others = [name for name, card in cards.items() if card is None or first not in usable
              or card.model != usable[first].model]  # fmt: skip
    if names_meant(others, item):
        return chosen_by_name(others, item, where=where)
    if names_meant(cards, item):
        return chosen_by_name(cards, item, where=where)
    if item.lower().endswith(WEIGHTS_SUFFIXES):
        raise ModelNotFoundError(
            f"no model of {where} was exported from {file}; `photofinish export --weights {item}` does that, or says "
            f"why its kind cannot be served; {where} has {listed_models(cards)}",
            model=item,
            url=where,
        )
    raise ModelNotFoundError(
        f"unknown model or variant {item}; {where} has {listed_models(cards)}; give one of these, or export it with "
        "`photofinish export --weights FILE`",
        model=item,
        url=where,
    )


def _layout(card: ModelCard) -> tuple[str, tuple[int, int]]:
    return card.contract, card.input_wh


def listed_models(cards: Mapping[str, ModelCard | None], *, boxes_only: bool = False) -> str:
    """For a message, the models there are with their tasks: `demo_traffic (detect), yolov8n_pose (pose)`."""
    models = {
        f"{card.model} ({card.task})": None
        for card in cards.values()
        if card is not None and (card.has_boxes or not boxes_only)
    }
    return ", ".join(models) or "none"
