"""Frozen dataclasses from JSON values, checked as they are read."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from photofinish.errors import ConfigError

T = TypeVar("T")


def value_from_json(kind: type[T], value: Any, where: str) -> T:
    """A `kind` from what json.loads gave; unknown keys are ignored, so that a newer minor addition still reads.

    Raises ConfigError naming the place, e.g. `sections[0].blocks[2].samples: lacks 'done_ns'`.
    """
    return cast(T, _decode(kind, value, where))


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin is tuple:
        return _decode_tuple(kind, value, where)
    if origin is dict:
        item = get_args(kind)[1]
        return {key: _decode(item, entry, f"{where}.{key}") for key, entry in _expect(dict, value, where).items()}
    if origin in (Union, types.UnionType):
        return _decode_union(kind, value, where)
    if origin is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{where} must be of {list(get_args(kind))}, got {value!r}")
        return value
    if kind is float:
        return float(_expect((int, float), value, where))
    return _expect(kind, value, where)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    table = _expect(dict, value, where)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in table:
            values[field.name] = _decode(hints[field.name], table[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where}: lacks {field.name!r}; it is not a Photofinish record or it was cut off")
    try:
        return kind(**values)
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}") from exc


def _decode_tuple(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    arguments = get_args(kind)
    entries = _expect(list, value, where)
    if arguments == (int, ...):  # raw samples: hundreds of thousands
        if not all(type(entry) is int for entry in entries):
            raise ConfigError(f"{where} must be a list of whole numbers")
        return tuple(entries)
    if arguments[-1] is Ellipsis:
        return tuple(_decode(arguments[0], entry, f"{where}[{index}]") for index, entry in enumerate(entries))
    return tuple(_decode(item, entry, where) for item, entry in zip(arguments, entries, strict=True))


def _decode_union(kind: Any, value: Any, where: str) -> Any:
    choices = get_args(kind)
    if value is None and type(None) in choices:
        return None
    real = [choice for choice in choices if choice is not type(None)]
    return _decode(real[0], value, where)


def _expect(kind: Any, value: Any, where: str) -> Any:
    is_wrong_bool = isinstance(value, bool) and kind is not bool
    if is_wrong_bool or not isinstance(value, kind):
        expected = getattr(kind, "__name__", "a number")
        raise ConfigError(f"{where} must be {expected}, got {type(value).__name__} {value!r:.60}")
    return value
