"""Weights to artifacts, configs and a published model repository."""

import sys
from pathlib import Path

if __name__ == "export":
    # Scripts that lay here are experiments now. `python -m export.eager` finds them for one release more.
    sys.stderr.write("export.NAME is now experiments.NAME for scripts; this spelling works for one release more\n")
    __path__.append(str(Path(__file__).resolve().parents[1] / "experiments"))
