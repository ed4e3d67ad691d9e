"""Protobuf text format, as much of it as config.pbtxt needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Message = Mapping[str, object]


class Enum(str):
    """An enum value: written without quotes."""

    __slots__ = ()


def text_from_message(message: Message) -> str:
    """The message as text. Values: str, Enum, bool, int, a nested mapping, or a list of those for repeated fields."""
    return "".join(line + "\n" for line in _lines(message, indent=""))


def map_entry(key: str, value: object) -> Message:
    """One entry of a protobuf map."""
    return {"key": key, "value": value}


def _lines(message: Message, indent: str) -> Iterator[str]:
    for key, value in message.items():
        if isinstance(value, list) and not any(isinstance(item, Mapping) for item in value):
            yield f"{indent}{key}: [{', '.join(_scalar(item) for item in value)}]"
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield f"{indent}{key} {{"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{key}: {_scalar(item)}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Enum, int)):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    raise TypeError(f"config.pbtxt holds strings, numbers, enums and messages, got {type(value).__name__}")


def quoted(text: str) -> str:
    """The text as a quoted ASCII string."""
    return '"' + "".join(_escaped(byte) for byte in text.encode("utf-8")) + '"'


def _escaped(byte: int) -> str:
    if byte in (0x22, 0x5C):
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
