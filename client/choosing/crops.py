"""Which models look at crops of the first one's boxes, at which boxes, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from photofinish.client.choosing.beside import listed_models, variant_meant
from photofinish.errors import ConfigError
from photofinish.model_card import ModelCard

CROP_LIMIT = 16
"""Boxes of a picture that are cut out at most: a crowd must not make one frame take seconds."""
CROP_SIDE = 16
"""Shorter side in pixels of the smallest box that is cut out: less shows a model nothing."""
MOST_MARGIN = 1.0
"""Of a box's width and height at each of its sides: more shows the second model neighbours, not the object."""
LISTED_CLASSES = 12
TORCHVISION = "torchvision:"


@dataclass(frozen=True, slots=True, kw_only=True)
class CropChoice:
    """A model for the second look, and at which boxes of the first one.

    model: a variant, a model or the name of weights, as `choose_beside` takes them. classes: of the first model, () for
    all. limit: boxes of a picture at most, the best ones. min_side: pixels of the smallest box's shorter side.
    margin: share of a box's width and height that is cut out beyond each of its sides, where the picture has it.
    """

    model: str
    classes: tuple[str, ...] = ()
    limit: int = CROP_LIMIT
    min_side: int = CROP_SIDE
    margin: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigError unless it names a model and lets some box through."""
        if not self.model or not all(self.classes):
            raise ConfigError(
                "crops must name a model, and classes behind a colon where not all boxes are meant, as in "
                f"yunet or yunet:person,rider; got {':'.join((self.model, ','.join(self.classes)))!r}"
            )
        if self.limit < 1 or self.min_side < 1:
            raise ConfigError(f"crops: limit and smallest side must be at least 1, got {self.limit}, {self.min_side}")
        if not 0 <= self.margin <= MOST_MARGIN:
            raise ConfigError(
                f"crops: the margin must lie within 0..{MOST_MARGIN:g}, a share of each box's width and height such as "
                f"0.2, got {self.margin:g}"
            )


def crop_choice_from_text(
    text: str, *, limit: int = CROP_LIMIT, min_side: int = CROP_SIDE, margin: float = 0.0
) -> CropChoice:
    """What `MODEL[:class,class…]` says; `torchvision:resnet18` is a name of weights. Raises ConfigError."""
    prefix = TORCHVISION if text.startswith(TORCHVISION) else ""
    model, colon, classes = text.removeprefix(prefix).partition(":")
    names = tuple(dict.fromkeys(name.strip() for name in classes.split(","))) if colon else ()
    return CropChoice(model=prefix + model.strip(), classes=names, limit=limit, min_side=min_side, margin=margin)


def choose_crops(
    cards: Mapping[str, ModelCard | None], looking: Sequence[str], choices: Sequence[CropChoice], *, where: str
) -> tuple[CropChoice, ...]:
    """The choices with the full name of a variant each, and classes as the first model spells them.

    cards: as `choose_model` has them. looking: the variants that look at the whole picture, whose first one's boxes
    are cut out. Of a model the best variant is taken.

    Raises ModelNotFoundError that lists what there is, and ConfigError for a first model without boxes, a class that
    it does not know, and a model that looks already.
    """
    if not choices:
        return ()
    first = cards[looking[0]]
    if first is not None and not first.has_boxes:
        raise ConfigError(
            f"{looking[0]} is a classifier (task {first.task}): it finds no boxes that could be cut out; the first "
            f"model must be a detector or one with keypoints, such as {listed_models(cards, boxes_only=True)}"
        )
    whole = frozenset(looking)
    told = {card.model: name for name in looking if (card := cards[name]) is not None}
    chosen = []
    for choice in choices:
        name = variant_meant(cards, looking[0], choice.model, where, like_first=False)
        card = cards[name]
        if card is not None and card.model in told:
            twice = told[card.model] not in whole
            remedy = f"name all its classes at once, as in {card.model}:car,bus, or" if twice else "name"
            raise ConfigError(
                f"{card.model} looks already (as {told[card.model]}), so {choice.model} cannot look at crops "
                f"{'once more' if twice else 'too'}; {remedy} another model; {where} has {listed_models(cards)}"
            )
        if card is not None:
            told[card.model] = name
        classes = choice.classes if first is None else tuple(_known(item, first) for item in choice.classes)
        chosen.append(replace(choice, model=name, classes=classes))
    return tuple(chosen)


def _known(name: str, first: ModelCard) -> str:
    """The class as the model spells it; letters may be large or small."""
    if name in first.class_names:
        return name
    same = [item for item in first.class_names if item.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    shown = ", ".join(first.class_names[:LISTED_CLASSES])
    more = len(first.class_names) - LISTED_CLASSES
    raise ConfigError(
        f"{first.model} has no class {name!r} whose boxes could be cut out; it has {shown}"
        f"{f' and {more} more' if more > 0 else ''}"
    )
