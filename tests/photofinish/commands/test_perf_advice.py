"""What a report tells its reader to do can be done: every flag exists on the commands that write such a report."""

from __future__ import annotations

import re

import click
import pytest

from photofinish.commands.perf import perf
from photofinish.perf.report.sentences import SENTENCES

MEASURE_IN_ROUNDS = ("standard", "comparison", "ladder")
"""Commands whose sections can be too short, too uncertain or drift."""
ONLY_SOME = {
    "not_run_time": ("standard", "sweep"),
    "advice_other_boxes": ("standard", "comparison"),
    "not_run_weights": ("standard", "comparison", "ladder"),
}


def flags_of(command: click.Command) -> set[str]:
    return {flag for item in command.params for flag in (*item.opts, *item.secondary_opts)}


@pytest.mark.parametrize("key", [key for key in SENTENCES if key.startswith(("advice_", "not_run_"))])
def test_a_remedy_names_flags_that_exist(key: str) -> None:
    for name in ONLY_SOME.get(key, MEASURE_IN_ROUNDS):
        known = flags_of(perf.commands[name])
        for sentence in SENTENCES[key]:
            assert set(re.findall(r"--[a-z][a-z-]*", sentence)) <= known, f"{key} on perf {name}"
