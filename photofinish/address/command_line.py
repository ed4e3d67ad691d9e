"""A command line as others may see it: in records and, where Linux lets us, in `ps`."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from photofinish.address.hiding import HIDDEN, public_address

SECRET_OPTION = "--source-password"
"""The option whose value, in the same word or in the next one, is secret as a whole."""
_ARG_START, _ARG_END = 45, 46
"""Positions in /proc/self/stat, counted behind the process's name; proc(5) numbers them 48 and 49."""


def public_arguments(arguments: Sequence[str]) -> list[str]:
    """The words of a command line without the secrets in them, also in `--option=address`."""
    public = []
    for before, word in zip(("", *arguments), arguments, strict=False):
        option, equals, value = word.partition("=")
        is_option = bool(equals) and option.startswith("--")
        if before == SECRET_OPTION or (is_option and option == SECRET_OPTION):
            public.append(f"{option}={HIDDEN}" if is_option else HIDDEN)
        else:
            public.append(f"{option}={public_address(value)}" if is_option else public_address(word))
    return public


def hide_passwords_in_process_title(arguments: Sequence[str]) -> bool:
    """Overwrite, in this process's own memory, every argument that holds a password; whether that was done.

    arguments: those of the program, without its own name.
    """
    public = public_arguments(arguments)
    if public == list(arguments):
        return False
    try:
        title = Path("/proc/self/cmdline").read_bytes()
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    except (OSError, ValueError, IndexError):
        return False  # another system
    before = _joined(arguments)
    if start == 0 or end - start != len(title) or not title.endswith(before):
        return False
    after = _joined_in_place(arguments, public)
    ctypes.memmove(end - len(before), after, len(before))
    return True


def _joined(arguments: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(word) + b"\0" for word in arguments)


def _joined_in_place(arguments: Sequence[str], public: Sequence[str]) -> bytes:
    """The public words, each exactly as long as the argument whose place it takes."""
    words = []
    for argument, shown in zip(arguments, public, strict=True):
        room, word = len(os.fsencode(argument)), os.fsencode(shown)
        words.append(word.ljust(room) if len(word) <= room else b"*" * room)
    return b"".join(word + b"\0" for word in words)
