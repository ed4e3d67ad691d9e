"""The files that `python -m experiments.cpu_ways` compares.

    python -m experiments.cpu_artifacts FOLDER [--weights demo]

NNCF is used where it is installed (`pip install nncf`); Photofinish itself does not need it.

Backs: docs/benchmarking-cpu.md, "The last column names the file of"
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import onnx
import torch

from photofinish.export.build import stage_variants
from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.int8.frames import frames_from_synthetic
from photofinish.export.loading.weights import find_weights, load_source
from photofinish.export.recipes.aoti import compile_packages
from photofinish.export.recipes.context import RecipeUnavailableError
from photofinish.variant import default_variants_path

FILES = {
    "baseline.pt": "torch_fp32_tensor",
    "fp32.onnx": "onnx_fp32",
    "int8.onnx": "onnx_int8",
    "unsigned.onnx": "openvino_int8",
}
NNCF_FRAMES = 48


def make_artifacts(weights: str, folder: Path, *, staging: Path, on_progress: Callable[[str], None]) -> None:
    """Fill the folder. What cannot be made here is told and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    staged = stage_variants(
        weights,
        variants_path=default_variants_path(),
        names=tuple(FILES.values()),
        device="cpu",
        staging=staging,
        on_progress=on_progress,
    )
    for file_name, suffix in FILES.items():
        item = next(item for item in staged if item.variant.name.endswith(suffix))
        artifact = next((item.directory / "1").glob("model.*"))
        (folder / file_name).write_bytes(artifact.read_bytes())
    if find_spec("nncf"):
        on_progress("NNCF: quantising")
        width, height = staged[0].card.input_wh
        quantised_by_nncf(folder / "fp32.onnx", folder / "nncf.onnx", input_wh=(width, height))
    else:
        on_progress("NNCF is not installed: left out")
    source = load_source(find_weights(weights))
    network = frames_network_from_source(source)
    for name, freezing in (("compiled", False), ("frozen", True)):
        (folder / name).mkdir(exist_ok=True)
        try:
            with torch._inductor.config.patch(freezing=freezing):
                compile_packages(
                    network, source.input_wh, (1,), folder=folder / name, device="cpu", on_progress=on_progress
                )
        except RecipeUnavailableError as exc:
            on_progress(f"{name}: left out: {exc}")


def quantised_by_nncf(fp32_path: Path, out_path: Path, *, input_wh: tuple[int, int]) -> None:
    """NNCF's post-training quantisation, activations asymmetric where that fits them better, on synthetic frames."""
    nncf: Any = import_module("nncf")

    frames = frames_from_synthetic(input_wh).range_nhwc[:NNCF_FRAMES]
    model = onnx.load(fp32_path)
    name = model.graph.input[0].name
    dataset = nncf.Dataset([frame[None] for frame in frames], lambda frame: {name: frame})
    preset = nncf.QuantizationPreset.MIXED
    onnx.save(nncf.quantize(model, dataset, preset=preset, subset_size=len(frames)), out_path)


def main() -> None:
    """Make the files of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="demo")
    parser.add_argument("--staging", type=Path, default=Path(".photofinish/staging"))
    options = parser.parse_args()
    make_artifacts(
        options.weights,
        options.folder,
        staging=options.staging,
        on_progress=lambda line: click.echo(line, err=True),
    )


if __name__ == "__main__":
    main()
