"""In which order the arms take their blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_ROUNDS = 5
"""Blocks a side below which no interval is trusted."""


def block_order(keys: Sequence[str], *, rounds: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """The arms of each round, in order: ABBA. Two rounds mirror each other, every pair starts with a fresh order.

    Slow drift of the machine then falls on all arms alike, and no arm always follows the same other one.
    """
    generator = np.random.default_rng(seed)
    order: list[tuple[str, ...]] = []
    while len(order) < rounds:
        forward = tuple(keys[index] for index in generator.permutation(len(keys)))
        order += [forward, forward[::-1]]
    return tuple(order[:rounds])
