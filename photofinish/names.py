"""Which variant a user means: a full name (`yolo26n_onnx_fp16`), or what names end in (`onnx_fp16`); and how many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from photofinish.errors import ConfigError


def names_meant(names: Iterable[str], wanted: str) -> tuple[str, ...]:
    """The name that `wanted` is; without one those that end in it after an underscore, in the order of `names`."""
    known = tuple(names)
    return (wanted,) if wanted in known else tuple(name for name in known if name.endswith(f"_{wanted}"))


def chosen_by_name(names: Iterable[str], wanted: str, *, where: str) -> str:
    """The one name that `wanted` means.

    where: whose names they are, for the ConfigError when none fits, which lists them all, or several do.
    """
    known = tuple(names)
    meant = names_meant(known, wanted)
    if len(meant) > 1:
        raise ConfigError(f"{wanted} fits {', '.join(meant)} at {where}; give the full name")
    if not meant:
        _refuse([wanted], known, where)
    return meant[0]


def all_chosen_by_name(names: Iterable[str], wanted: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Every name that one of `wanted` means, in the order of `names`; all of them where nothing is wanted.

    Raises ConfigError that lists what there is when one of `wanted` means none.
    """
    known = tuple(names)
    meant = {item: names_meant(known, item) for item in wanted}
    if unknown := [item for item, found in meant.items() if not found]:
        _refuse(unknown, known, where)
    return tuple(name for name in known if not wanted or any(name in found for found in meant.values()))


def counted(number: int, noun: str) -> str:
    """`1 camera`, `2 cameras`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _refuse(unknown: Sequence[str], known: Sequence[str], where: str) -> NoReturn:
    raise ConfigError(f"unknown variant {', '.join(unknown)}; {where} has {', '.join(known) or 'nothing'}")
