"""What is left of a detector after `export --prune`: shares of its parameters and multiply-adds, before any teaching.

    python -m experiments.models.pruned_shares demo yolo26n.pt --ratio 0.3 --out results/pruned_shares.json

Counted, so any machine gives the same figures. It needs torch-pruning: `pip install 'photofinish[prune]'`.

Backs: docs/accuracy.md, "keep 58 % of their parameters and 55 % of their multiply-adds"
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from photofinish.export.loading.weights import find_weights

SCHEMA_VERSION = 1


def row_of(weights: str, ratio: float) -> dict[str, Any]:
    """What goes from these weights, as the export prunes them."""
    from photofinish.export.loading.ultralytics import network_from_pt
    from photofinish.export.pruning.request import check_prunable
    from photofinish.export.pruning.structure import keep_served_head, prune_channels

    found = find_weights(weights)
    check_prunable(found, ratio)
    network = network_from_pt(Path(found.spec)).float().eval()
    keep_served_head(network, weights)
    figures, _ = prune_channels(network, ratio, weights=weights)
    return {
        "name": found.model,
        "weights_sha256": found.sha256,
        "parameters_percent": 100 * figures.parameters_share,
        "operations_percent": 100 * figures.operations_share,
        **asdict(figures),
    }


def main() -> None:
    """Count, write the record, print it as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [row_of(weights, options.ratio) for weights in options.weights]
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.models.pruned_shares",
        "ratio": options.ratio,
        "rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    click.echo("| weights | parameters left (%) | multiply-adds left (%) |\n| --- | ---: | ---: |")
    for row in rows:
        click.echo(f"| {row['name']} | {row['parameters_percent']:.3g} | {row['operations_percent']:.3g} |")


if __name__ == "__main__":
    main()
