"""What tritonserver's log tells while it starts, read on from where it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

READ_BYTES = 1 << 20
"""What is read of the log at once; a log that grows faster than that is read at its end."""

_LOADED = re.compile(r"successfully loaded '([^']+)'")
_UNREAD = re.compile(r"Poll failed for model directory '([^']+)': (.*?)\"?$", re.MULTILINE)
_PARSE_ERROR = re.compile(r"Error parsing text-format inference\.ModelConfig: (.*)")
_TAKEN = re.compile(r"Socket '([^']+)' already in use")
_NO_DESCRIPTORS = "Too many open files"


class ServerLog:
    """The log of a server that starts. loaded: models that are ready, in that order. unread: models with a reason.

    last_error: the text of the last error line. lacks_descriptors: whether the server could open no more files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loaded: list[str] = []
        self.unread: dict[str, str] = {}
        self.last_error = ""
        self.lacks_descriptors = False
        self._offset = 0
        self._rest = ""

    def read_on(self) -> None:
        """Take in what was written since the last call, READ_BYTES at most; nothing when there is no log."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:  # it was shortened
                    self._offset = 0
                self._offset = max(self._offset, size - READ_BYTES)
                file.seek(self._offset)
                new = file.read(READ_BYTES)
        except OSError:
            return
        self._offset += len(new)
        text = self._rest + new.decode(errors="replace")
        # A complaint is explained by the line before it: each piece begins with the last whole line seen.
        whole = text.rfind("\n") + 1
        self._rest = text[text.rfind("\n", 0, max(whole - 1, 0)) + 1 :][-READ_BYTES:]
        self._take_in(text[:whole])

    def _take_in(self, text: str) -> None:
        self.loaded = list(dict.fromkeys([*self.loaded, *loaded_models(text)]))
        self.unread = {**unread_models(text), **self.unread}
        self.last_error = last_error(text) or self.last_error
        self.lacks_descriptors = self.lacks_descriptors or _NO_DESCRIPTORS in text


def read_end(path: Path) -> str:
    """The last READ_BYTES of a log; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, 2) - READ_BYTES, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def taken_address(log: str) -> str:
    """The host:port that the server could not have because another program had it; "" for none."""
    found = _TAKEN.search(log)
    return found.group(1) if found else ""


def loaded_models(log: str) -> list[str]:
    """Names of the models that are ready, in the order they became so."""
    return list(dict.fromkeys(_LOADED.findall(log)))


def unread_models(log: str) -> Mapping[str, str]:
    """Models whose directory or config.pbtxt Triton could not read, with the reason.

    The parser's own complaint, "line:column: what", stands on the line before Triton's.
    """
    reasons: dict[str, str] = {}
    lines = log.splitlines()
    for index, line in enumerate(lines):
        if found := _UNREAD.search(line):
            parse_error = _PARSE_ERROR.search(lines[index - 1]) if index else None
            reasons[found[1]] = f"{found[2]}, {parse_error[1]}" if parse_error else found[2]
    return reasons


def gpu_hint(failures: str) -> str:
    """What to do about models that want a GPU where none is; "" for other failures."""
    if "no GPUs are available" not in failures:
        return ""
    return (
        ". This machine has no NVIDIA GPU that Triton sees: name the models it can serve (--model, with `photofinish "
        "perf` --variant), or delete the folder of the other from the repository"
    )


def last_error(log: str) -> str:
    """The text of the last error line, "" when there is none."""
    errors = [
        line
        for line in log.splitlines()
        # Every machine without a GPU has the line about the helper; it is no cause of anything.
        if re.match(r"[EF]\d{4} (?!.*CudaDriverHelper has not been)", line) or line.startswith("error:")
    ]
    return errors[-1].partition("] ")[2] or errors[-1] if errors else ""
