"""What tritonserver's log tells while it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_LOADED = re.compile(r"successfully loaded '([^']+)'")
_UNREAD = re.compile(r"Poll failed for model directory '([^']+)': (.*?)\"?$", re.MULTILINE)
_PARSE_ERROR = re.compile(r"Error parsing text-format inference\.ModelConfig: (.*)")


def read_log(path: Path) -> str:
    """The log's text so far; "" when there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


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
