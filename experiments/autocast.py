"""FP16 by ModelOpt's AutoCast, for comparison: `python experiments/autocast.py IN.onnx OUT.onnx [PICTURES.npz]`.

nvidia-modelopt pins an ONNX and an ONNX Runtime of its own, so it lives in an environment of its own, and this file is
run there as a program. It imports nothing of Photofinish.

Backs: docs/tensorrt.md, "an environment of its own, 66 packages with an older ONNX pinned"
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import distributions, version


def main(arguments: list[str]) -> int:
    """Convert one file with AutoCast's defaults; prints the seconds, its version and its environment as JSON."""
    import onnx
    from modelopt.onnx.autocast import convert_to_mixed_precision

    begun = time.perf_counter()
    # Without pictures AutoCast looks at the values that random input gives.
    model = convert_to_mixed_precision(
        arguments[0],
        low_precision_type="fp16",
        keep_io_types=True,
        calibration_data=arguments[2] if len(arguments) > 2 else None,
    )
    seconds = time.perf_counter() - begun
    onnx.save(model, arguments[1])
    report = {
        "conversion_s": round(seconds, 2),
        "modelopt": version("nvidia-modelopt"),
        "onnx": version("onnx"),
        "packages_installed": len(list(distributions())),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
