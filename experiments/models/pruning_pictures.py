"""Pictures of the synthetic camera to prune the demo detector with, and labelled ones to judge it by.

Backs: docs/accuracy.md, "What pruning buys on the demo detector"
`gpu_pruned_demo.sh` and `cpu_pruned_demo.sh` run it: FOLDER, towns to learn from, frames of each, towns to judge by,
processes. It prints the path of the data.yaml.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import click

from photofinish.export.demo.data import Split, write_dataset
from photofinish.export.demo.train import TEST_SEED, TRAIN_SEED

INPUT_SIZE = 640
TEST_FRAMES = 10


def main() -> None:
    """Render both splits, of towns that the demo detector was trained on and of towns that it was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name in ("seeds", "frames", "test_seeds", "processes"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    train = Split(
        name="train",
        first_seed=TRAIN_SEED,
        seed_count=given.seeds,
        frames_per_seed=given.frames,
        crowding=(0.4, 1.6),
        reduced=True,
    )
    test = Split(
        name="test",
        first_seed=TEST_SEED,
        seed_count=given.test_seeds,
        frames_per_seed=TEST_FRAMES,
        crowding=(1.0, 1.0),
        reduced=False,
    )
    found = write_dataset(
        given.folder,
        (train, test),
        input_size=INPUT_SIZE,
        processes=given.processes,
        on_progress=lambda line: click.echo(line, file=sys.stderr),
    )
    click.echo(found["test"])


if __name__ == "__main__":
    main()
