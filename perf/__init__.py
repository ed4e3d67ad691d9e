"""Load, measurement, accuracy, statistics and reports."""

import sys
from pathlib import Path

if __name__ == "perf":
    # Scripts that lay here are experiments now. `python -m perf.soak` finds them for one release more.
    sys.stderr.write("perf.NAME is now experiments.NAME for scripts; this spelling works for one release more\n")
    __path__.append(str(Path(__file__).resolve().parents[1] / "experiments"))
