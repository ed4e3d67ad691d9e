"""What the server has at hand for the two sides, and the cores on which each model computes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from photofinish.client.triton.served import TritonClient
from photofinish.model_card import ModelCard


def served_cards(url: str, *, timeout_s: float = 5.0) -> dict[str, ModelCard]:
    """Name and card of every model of the server that a pipeline can use."""
    with TritonClient(url, timeout_s=timeout_s) as client:
        return {model.name: model.card for model in client.models() if model.card is not None}


class Shelf(Protocol):
    """Variants of which the server loads what is wanted."""

    def cards(self) -> Mapping[str, ModelCard]:
        """All of them, by name."""

    def load(self, names: Sequence[str]) -> None:
        """Let the server serve these, whatever else it serves. Raises PhotofinishError where it cannot."""

    def cores(self, name: str) -> Collection[int]:
        """The core group of the side that shows this model; nothing where models share the cores."""

    def all_cores(self) -> AbstractContextManager[None]:
        """While the block runs, no model is kept to a group. Raises PhotofinishError where that cannot be had."""

    def is_recovering(self) -> bool:
        """Whether the server ended by itself, and is being started again or was a moment ago."""


class ServedShelf:
    """A server of others': it serves what it serves, and where its models compute is not ours to choose."""

    def __init__(self, url: str) -> None:
        """url: its gRPC address."""
        self._url = url

    def cards(self) -> Mapping[str, ModelCard]:
        """All that it serves, by name. Raises what asking the server raises."""
        return served_cards(self._url)

    def load(self, names: Sequence[str]) -> None:
        """Nothing: a model that it does not serve is told by the side that asks for it."""

    def cores(self, name: str) -> Collection[int]:
        """None in particular."""
        return ()

    def all_cores(self) -> AbstractContextManager[None]:
        """Nothing changes."""
        return nullcontext()

    def is_recovering(self) -> bool:
        """Nobody here starts it again."""
        return False
