"""What pruned weights say of how they were made, as a record.

    python -m experiments.models.taught demo_traffic-pruned30-66f7aad10244.pt taught.json

Backs: docs/accuracy.md, "What pruning buys on the demo detector"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from photofinish.source_hash import sha256_from_file

SCHEMA_VERSION = 1


def main() -> None:
    """Write the record."""
    from photofinish.export.loading.ultralytics import WEIGHTS_CHANGED, network_from_pt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": "python -m experiments.models.taught",
        "bytes": given.weights.stat().st_size,
        "sha256": sha256_from_file(given.weights),
        **getattr(network_from_pt(given.weights), WEIGHTS_CHANGED),
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
