"""Our FP16 graph and ModelOpt AutoCast's, side by side: `python -m experiments.compare_fp16 --help`.

nvidia-modelopt has an environment of its own: `uv venv autocast && uv pip install --python autocast/bin/python
"nvidia-modelopt[onnx]"`, then `--autocast-python autocast/bin/python`. No GPU is needed.

Backs: docs/tensorrt.md, "Both put every layer with weights into FP16"
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx

from experiments import autocast
from experiments.fp16_figures import agreement_from_rows, engine_figures, node_counts
from photofinish.errors import ExportError, PhotofinishError
from photofinish.export.graph.fp16 import fp16_model_from_fp32
from photofinish.export.graph.parity import frames_from_pictures
from photofinish.export.graph.session import output_from_onnx
from photofinish.export.loading.weights import find_weights, load_source
from photofinish.export.recipes.context import BuildContext
from photofinish.letterbox import letterboxed_from_image
from photofinish.pictures import image_paths
from photofinish.synthetic import SyntheticCamera
from photofinish.variant import default_variants_path, variants_from_toml

Frames = npt.NDArray[np.uint8]
CALIBRATION_PICTURES = 8
"""Pictures of the compared ones that AutoCast may look at."""
FRAMES_APART = 45
"""Synthetic frames between two that are compared: the traffic has moved on."""
_COLUMNS = (
    "model, graph",
    "convert (s)",
    "MB",
    "layers FP16 / FP32",
    "other nodes FP16 / FP32",
    "casts",
    "engine",
    "boxes lost / added",
    "confidence error mean / worst",
    "box error mean / worst (px)",
)


def main() -> None:
    """Compare on every `--model` and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m experiments.compare_fp16", description=__doc__)
    model_help = "weights, and the pictures to compare on; without a folder the synthetic camera's"
    parser.add_argument("--model", action="append", required=True, metavar="WEIGHTS[=FOLDER]", help=model_help)
    parser.add_argument("--pictures", type=int, default=64, help="how many pictures at most (64)")
    parser.add_argument("--autocast-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--target", action="append", help="GPU architectures to build for (sm120 and sm89)")
    parser.add_argument("--out", type=Path, default=Path("results/fp16_graphs.json"))
    options = parser.parse_args()
    targets = options.target or ["sm120", "sm89"]
    try:
        models = [compare(spec, options.pictures, options.autocast_python, targets) for spec in options.model]
    except PhotofinishError as exc:
        sys.exit(f"error: {exc}")
    record = {"schema_version": 1, "kind": "fp16_graphs", "environment": _environment(), "models": models}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table_from_record(record))


def compare(spec: str, pictures: int, autocast_python: Path, targets: Sequence[str]) -> dict[str, Any]:
    """The figures of the FP32 graph, ours, and AutoCast's without and with pictures to look at."""
    weights, _, folder = spec.partition("=")
    found = find_weights(weights)
    variants = variants_from_toml(default_variants_path(), model=found.model)
    variant = next(variant for variant in variants if variant.recipe == "engine_fp16")
    with tempfile.TemporaryDirectory(prefix="photofinish-fp16-") as work:
        context = BuildContext(source=load_source(found), device="cpu", work_dir=Path(work), on_progress=_say)
        frames = _frames(Path(folder) if folder else None, pictures, context.source.input_wh)
        paths = {"fp32": Path(work) / "fp32.onnx"}
        onnx.save(context.frames_onnx, paths["fp32"])
        made: dict[str, dict[str, Any]] = {"fp32": {}}
        begun = time.perf_counter()
        paths["ours"] = Path(work) / "ours.onnx"
        onnx.save(fp16_model_from_fp32(context.frames_onnx), paths["ours"])
        made["ours"] = {"conversion_s": round(time.perf_counter() - begun, 2)}
        seen = Path(work) / "seen.npz"
        np.savez(seen, frames=frames[:: max(1, len(frames) // CALIBRATION_PICTURES)][:CALIBRATION_PICTURES])
        for name, calibration in (("autocast", None), ("autocast, calibrated", seen)):
            paths[name] = Path(work) / f"{name.replace(', ', '_')}.onnx"
            made[name] = _autocast(autocast_python, paths["fp32"], paths[name], calibration)
        reference = output_from_onnx(paths["fp32"], frames)
        graphs = []
        for name, path in paths.items():
            _say(f"{found.model}: {name}")
            figures = {"graph": name, **made[name]}
            graphs.append(figures)
            if "failed" in figures:
                continue
            figures["bytes"] = path.stat().st_size
            figures["nodes"] = asdict(node_counts(onnx.load(path)))
            if name != "fp32":
                figures["engines"] = [engine_figures(path, variant, target, Path(work)) for target in targets]
                figures["agreement"] = asdict(agreement_from_rows(output_from_onnx(path, frames), reference))
    return {
        "model": found.model,
        "weights_sha256": found.sha256,
        "pictures": {"source": Path(folder).parent.name if folder else "synthetic", "count": len(frames)},
        "graphs": graphs,
    }


def _autocast(python: Path, fp32: Path, out: Path, calibration: Path | None) -> dict[str, Any]:
    """Run AutoCast in its own environment: its version and the seconds it took, or the error that it ended with."""
    command = [str(python), str(autocast.__file__), str(fp32), str(out), *([str(calibration)] if calibration else [])]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except OSError as exc:
        raise ExportError(f"{python} cannot be run ({exc.strerror}); pass --autocast-python") from exc
    if run.returncode:
        said = (run.stderr.strip() or "nothing").splitlines()[-1]
        if "ModuleNotFoundError" in said:
            raise ExportError(
                f"{python} has no AutoCast ({said}). It needs an environment of its own: "
                'uv pip install "nvidia-modelopt[onnx]", then pass --autocast-python'
            )
        return {"failed": said}
    return dict(json.loads(run.stdout.strip().splitlines()[-1]))


def _frames(folder: Path | None, count: int, input_wh: tuple[int, int]) -> Frames:
    """Letterboxed RGB pictures (n, height, width, 3), evenly spread over the folder or over the synthetic camera."""
    if folder is None:
        camera = SyntheticCamera(seed=7)
        pictures = (camera.frame(FRAMES_APART * index).image_hwc_bgr for index in range(count))
        return np.stack([letterboxed_from_image(image, input_wh, swap_channels=True)[0] for image in pictures])
    found = image_paths(folder)
    step = max(1, len(found) // count)
    return frames_from_pictures(found[::step][:count], input_wh)


def _environment() -> dict[str, Any]:
    names = ("numpy", "onnx", "onnxruntime", "torch", "tensorrt-rtx-cu13-bindings")
    return {
        "cpu_cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "packages": {name: version(name) for name in names},
    }


def table_from_record(record: dict[str, Any]) -> str:
    """The record as a Markdown table, one row per graph."""
    rows = ["| " + " | ".join(_COLUMNS) + " |", "|" + " --- |" * len(_COLUMNS)]
    for model in record["models"]:
        for graph in model["graphs"]:
            rows.append(_row(model["model"], graph))
    return "\n".join(rows) + "\n"


def _row(model: str, graph: dict[str, Any]) -> str:
    if "failed" in graph:
        return f"| {model}, {graph['graph']} | {graph['failed']} |" + " |" * (len(_COLUMNS) - 2)
    nodes = graph["nodes"]
    engines = [
        f"{engine['target']} refused" if "refused" in engine else f"{engine['target']} {engine['bytes'] / 1e6:.1f} MB"
        for engine in graph.get("engines", [])
    ]
    cells = [
        f"{model}, {graph['graph']}",
        str(graph.get("conversion_s", "")),
        f"{graph['bytes'] / 1e6:.1f}",
        f"{nodes['layers_fp16']} / {nodes['layers_fp32']}",
        f"{nodes['fp16'] - nodes['layers_fp16']} / {nodes['fp32'] - nodes['layers_fp32']}",
        str(nodes["casts"]),
        ", ".join(engines),
    ]
    if agreement := graph.get("agreement"):
        cells += [
            f"{agreement['lost']} / {agreement['added']} of {agreement['boxes']}",
            f"{agreement['mean_confidence_error']:.2g} / {agreement['worst_confidence_error']:.2g}",
            f"{agreement['mean_box_error_px']:.2g} / {agreement['worst_box_error_px']:.2g}",
        ]
    return "| " + " | ".join(cells + [""] * (len(_COLUMNS) - len(cells))) + " |"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
