"""Values of the wire as bytes. Those of every frame go as plain tuples: pickled with their classes they take three
times as long, and one thread, the owner's, reads and writes them for all cameras.
"""

from __future__ import annotations

import pickle
from dataclasses import fields
from operator import attrgetter
from typing import Any

from photofinish.client.cameras.values.access_unit import AccessUnit
from photofinish.client.cameras.values.outcome import DueFrame
from photofinish.client.cameras.wire.messages import FrameWritten, WriteFrame
from photofinish.letterbox import letterbox_of

_FLAT = (AccessUnit, DueFrame, WriteFrame, FrameWritten)
"""A value of these goes as (its class's place here, *its fields), any other as (_WHOLE, itself)."""
_WHOLE = -1
_NUMBERS = {kind: number for number, kind in enumerate(_FLAT)}
_NAMES = [tuple(field.name for field in fields(kind)) for kind in _FLAT]
_FIELDS = [attrgetter(*names) for names in _NAMES]
_PUTS = [[getattr(kind, name).__set__ for name in names] for kind, names in zip(_FLAT, _NAMES, strict=True)]
"""What sets a slot of a frozen value, as unpickling does; its own `__init__` takes twice as long."""
_WRITTEN = _NUMBERS[FrameWritten]
_FRAME, _LETTERBOX = _NAMES[_WRITTEN].index("frame"), _NAMES[_WRITTEN].index("letterbox")


def bytes_from_value(value: object) -> bytes:
    """What `value_from_bytes` takes."""
    number = _NUMBERS.get(type(value))
    if number is None:
        return pickle.dumps((_WHOLE, value), protocol=pickle.HIGHEST_PROTOCOL)
    parts: Any = _FIELDS[number](value)
    if isinstance(value, FrameWritten):
        frame, letterbox = value.frame, value.letterbox
        parts = list(parts)
        parts[_FRAME] = frame and _FIELDS[_NUMBERS[DueFrame]](frame)
        parts[_LETTERBOX] = letterbox and (letterbox.source_wh, letterbox.target_wh)
    return pickle.dumps((number, *parts), protocol=pickle.HIGHEST_PROTOCOL)


def value_from_bytes(data: bytes | memoryview) -> Any:
    """The value again."""
    number, *parts = pickle.loads(data)
    if number == _WHOLE:
        return parts[0]
    if number == _WRITTEN:
        frame, sizes = parts[_FRAME], parts[_LETTERBOX]
        parts[_FRAME] = frame and _made(_NUMBERS[DueFrame], frame)
        parts[_LETTERBOX] = sizes and letterbox_of(*sizes)
    return _made(number, parts)


def _made(number: int, parts: Any) -> Any:
    made = object.__new__(_FLAT[number])
    for put, part in zip(_PUTS[number], parts, strict=True):
        put(made, part)
    return made
