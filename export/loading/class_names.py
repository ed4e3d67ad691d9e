"""Class names as files tell them: a list, or a mapping from numbers that may be written as text."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path

import yaml

from photofinish.errors import ConfigError, ExportError, reason_from_error
from photofinish.export.graph.source import class_names_from

MAX_CLASSES = 100_000
"""More is no detector's, and would be reserved in memory."""
NAMES_SUFFIXES = (".yaml", ".yml", ".json")
"""Files that hold a document; any other file of names has one a line."""
REMEDY = "correct it, or pass the names with --names FILE"


def names_by_number(told: object, where: str, *, remedy: str = REMEDY) -> dict[int, str]:
    """The names by class number; {} where `told` is neither a mapping nor a list.

    Numbers may be text, as in JSON: sorted as text, class 10 would come before class 2. where: whose names they are,
    for the ExportError of keys that are no class numbers.
    """
    if isinstance(told, (list, tuple)):
        told = dict(enumerate(told))
    if not isinstance(told, Mapping):
        return {}
    numbers = {key: _number(key) for key in told}
    if not all(0 <= number < MAX_CLASSES for number in numbers.values()):
        raise ExportError(
            f"{where} names classes {reprlib.repr(list(told))}; expected numbers from 0 to {MAX_CLASSES - 1}: {remedy}"
        )
    return {numbers[key]: str(name) for key, name in told.items()}


def names_fit(names: Mapping[int, str], count: int) -> bool:
    """Whether these are the names of `count` classes, by their numbers or, counted from elsewhere, by their number."""
    return max(names, default=-1) + 1 == count or len(names) == count


def names_of_classes(names: Mapping[int, str], count: int) -> tuple[str, ...]:
    """One name for each of `count` classes.

    Names that count from 1, or leave numbers out as COCO's 91 do, are taken in the order of their numbers where there
    are `count` of them and their numbers reach beyond.
    """
    if names and max(names) >= count == len(names):
        return tuple(names[number] for number in sorted(names))
    return class_names_from(names, count=count)


def class_names_from_file(path: Path, flag: str) -> tuple[str, ...]:
    """The names of a data.yaml, a JSON document, or a text file with one a line.

    flag: the option that gave the file, for the ConfigError when it holds none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() not in NAMES_SUFFIXES:
            lines = [line.strip() for line in text.splitlines()]
            names = {number: line for number, line in enumerate(line for line in lines if line)}
        else:
            document = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
            told = document.get("names", document) if isinstance(document, dict) else document
            names = names_by_number(told, f"{flag} {path}")
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as exc:
        raise ConfigError(f"{flag} {path} cannot be read ({reason_from_error(exc)}); {EXPECTED}") from exc
    if not names:
        raise ConfigError(f"{flag} {path} holds no class names; {EXPECTED}")
    return names_of_classes(names, len(names) if min(names) else max(names) + 1)


EXPECTED = "expected a data.yaml with the key names, a JSON list, or a text file with one name a line"


def _number(key: object) -> int:
    """The class number that a key is, -1 where it is none."""
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    text = key.strip() if isinstance(key, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
