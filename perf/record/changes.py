"""Values in whose place a record of schema 1 had sentences: what a rung changed, and why something was not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from photofinish.errors import PhotofinishError

Noun = Literal[
    "server",
    "contract",
    "engine",
    "precision",
    "input",
    "cuda_graphs",
    "client",
    "transport",
    "in_flight",
    "batch",
    "weights",
]
NOUNS: tuple[Noun, ...] = get_args(Noun)
"""What a rung can change."""

ERRORS: Mapping[str, str] = {
    "batch": "{model} takes batches of {size} at most",
    "loop": "no bare loop for backend {backend}; there is one for {known}",
    "file": "{path} does not exist; run `photofinish export`",
    "torch_gpu": "exported for a GPU, and torch sees none here",
    "provider": "exported for a GPU, and this ONNX Runtime has no {kind} provider; install onnxruntime-gpu",
    "refused": "ONNX Runtime cannot use its {kind} provider: {said}",
    "fell_back": "ONNX Runtime fell back to the CPU; `photofinish doctor` says why",
    "missing": "{name} is not installed; run `{command}`",
    "exited": "perf_analyzer exited with {code}: {said}; the server's log has the other side of it",
    "timeout": (
        "perf_analyzer did not end within {seconds} s; is the machine busy, or the server stalled? See its log"
    ),
    "answers": "perf_analyzer answered {count} requests, needed more than {least}",
    "profile": "perf_analyzer's profile cannot be read ({said}); use the pinned version: take yours off PATH",
    "rows": "perf_analyzer's CSV has {count} rows, expected 1",
    "empty": "perf_analyzer ended without an error and wrote no request at all; our own load ran, so run the row again",
    "ended": "its process ended with exit code {code}, saying: {said}",
    "silent": "its process gave no answer in {seconds} s; is the machine busy?",
    "no_ultralytics": "Ultralytics is not installed here; run `pip install 'photofinish[export]'`",
    "weights": "the weights {name} are not here; give them with --weights FILE",
    "other_weights": "{name} is not what {model} was made of; give those weights with --weights FILE",
    "no_torch": "{name} is no network in PyTorch that Ultralytics runs",
    "words": "{name} was fused with words; as it lies there it finds other classes",
    "error": "{said}",
}
"""The keys of a NotRun that an error can carry, and what the error says. said: the words of somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs between two rungs, and its value on each: `transport`, `grpc`, `system_shm`."""

    noun: Noun
    was: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """Something that belongs to a section and was not measured. key: why, in a word, which the values fill.

    What it is: a rung of the ladder, or a model at a batch size and, in a sweep, at a concurrency by a generator.
    label: a name where it is neither.
    """

    key: str
    values: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    rung: str = ""
    model: str = ""
    batch_size: int = 1
    concurrency: int = 0
    generator: str = ""


class NotRunError(PhotofinishError):
    """Something cannot be measured here. not_run: the reason as a value, for the record."""

    def __init__(self, reason: NotRun | str) -> None:
        """Take the reason as a value, or as the words of somebody else."""
        self.not_run = NotRun(key="error", values={"said": reason}) if isinstance(reason, str) else reason
        super().__init__(text_of_error(self.not_run))


def text_of_error(item: NotRun) -> str:
    """What an error says that carries this reason."""
    return ERRORS[item.key].format(**item.values)


def not_run_from_error(exc: Exception) -> NotRun:
    """Why something was not measured, from what was raised. What it was is the caller's to fill in."""
    if isinstance(exc, NotRunError):
        return exc.not_run
    said = str(exc) if isinstance(exc, PhotofinishError) else f"{type(exc).__name__}: {exc}"
    return NotRun(key="error", values={"said": " ".join(said.split())[:500]})


def reason_to_stop(exc: BaseException) -> str:
    """What ended a measurement before its time: `Ctrl-C`, `SIGTERM`, `SIGHUP`, or the words of the error."""
    if isinstance(exc, KeyboardInterrupt):
        return str(exc) or "Ctrl-C"
    return f"{type(exc).__name__}: {exc}"
