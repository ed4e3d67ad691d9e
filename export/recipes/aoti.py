"""FP16 compiled by AOTInductor for the GPU of this machine: one package for each batch size, and a sidecar."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from photofinish.errors import ExportError, reason_from_error
from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.kernels.availability import FAULTS, kernels_problem
from photofinish.export.recipes.context import BuildContext, RecipeUnavailableError
from photofinish.variant import Variant

SIDECAR_NAME = "model.json"
"""Says which torch and which GPU the packages were compiled for; the server refuses to load them elsewhere."""
PLAN_NAME = "kernels.json"
"""Which kernels of ours the packages run, by batch size, and how long each took alone when it was chosen."""
SEARCH_S = 240.0
"""For the search of one batch size; on one H200 with 16 cores it takes half a minute."""


def build_aoti_fp16(context: BuildContext, variant: Variant, out_path: Path) -> dict[str, Any]:
    """`model_b<size>.pt2` for each batch bucket beside `out_path`, which itself is not written.

    Fixed shapes, so that the server can capture each in a CUDA graph.
    """
    if context.device != "cuda":
        raise RecipeUnavailableError(
            "AOTInductor compiles for the GPU it runs on; run `photofinish export --device cuda` on the machine that "
            "will serve it"
        )
    network = frames_network_from_source(context.source, precision="fp16")

    def build(search_s: float) -> dict[str, Any]:
        packages = compile_packages(
            network,
            context.source.input_wh,
            variant.batch_buckets,
            folder=out_path.parent,
            device="cuda",
            on_progress=say,
            search_s=search_s,
        )
        sidecar = {**this_gpu(), "batch_sizes": list(packages)}
        (out_path.parent / SIDECAR_NAME).write_text(json.dumps(sidecar, indent=1), encoding="utf-8")
        return worst_parity(context, variant, packages, device="cuda")

    def say(line: str) -> None:
        context.on_progress(f"{variant.name}: {line}")

    if not context.kernels:
        return build(0.0)
    if problem := kernels_problem("cuda"):
        say(f"compiled without kernels of ours: {problem}")
        return build(0.0)
    try:
        return build(SEARCH_S)
    except ExportError as exc:
        say(f"compiled again without kernels of ours: {reason_from_error(exc)}")
        (out_path.parent / PLAN_NAME).unlink(missing_ok=True)
        return build(0.0)


def worst_parity(
    context: BuildContext, variant: Variant, packages: Mapping[int, Path], *, device: str
) -> dict[str, Any]:
    """The parity figures of the package that is farthest off; ExportError when any of them is too far."""
    figures = [
        context.check_output(variant, output_from_package(package, context.frames_nhwc, size=size, device=device))
        for size, package in packages.items()
    ]
    measure = "max_confidence_difference" if "max_confidence_difference" in figures[0] else "max_score_difference"
    return max(figures, key=lambda found: float(found[measure]))


def this_gpu() -> dict[str, str]:
    """What a package is tied to: PyTorch's and CUDA's version, the GPU and its compute capability."""
    return {
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "gpu": torch.cuda.get_device_name(),
        "compute_capability": ".".join(str(part) for part in torch.cuda.get_device_capability()),
    }


def compile_packages(
    network: torch.nn.Module,
    input_wh: tuple[int, int],
    batch_sizes: tuple[int, ...],
    *,
    folder: Path,
    device: str,
    on_progress: Callable[[str], None],
    search_s: float = 0.0,
) -> dict[int, Path]:
    """Compile the network for each batch size into `folder/model_b<size>.pt2`; the paths by batch size.

    search_s: for the search of kernels of ours for each size; 0 compiles the network as PyTorch does. The plan of what
    was found is `folder/kernels.json`.
    """
    width, height = input_wh
    # NHWC frames become channels-last images by a mere change of strides, and tensor cores want them so.
    network = network.to(device).to(memory_format=torch.channels_last)
    packages: dict[int, Path] = {}
    plans: dict[int, dict[str, Any]] = {}
    logging.getLogger("torch._inductor").setLevel(logging.ERROR)
    for size in batch_sizes:
        frames = torch.zeros((size, height, width, 3), dtype=torch.uint8, device=device)
        path = folder / f"model_b{size}.pt2"
        with torch.no_grad():
            # Ultralytics' head keeps the anchors of the last shape it saw; seen before, they are constants here.
            network(frames)
            try:
                program = torch.export.export(network, (frames,))
                plan = _package_of_kernels(program, frames, path, search_s, on_progress) if search_s else None
                if plan is None:
                    on_progress(f"compiling batch {size}")
                    _package(program, path)
                else:
                    plans[size] = plan
            except (RuntimeError, TypeError, ValueError, OSError) as exc:
                raise RecipeUnavailableError(
                    f"AOTInductor cannot compile batch {size} ({reason_from_error(exc)}); it needs a C++ compiler, "
                    "and a CUDA toolkit that fits this PyTorch"
                ) from exc
        packages[size] = path
    if plans:
        (folder / PLAN_NAME).write_text(json.dumps(plans, indent=1), encoding="utf-8")
    return packages


def _package_of_kernels(
    program: Any, frames: torch.Tensor, path: Path, search_s: float, on_progress: Callable[[str], None]
) -> dict[str, Any] | None:
    """Compile the traced network with kernels of ours; their plan, or None, with a line that says why, where not."""
    size = len(frames)
    try:
        # Triton's language is imported here and below only.
        from photofinish.export.kernels.lean import kernel_count, lean_network

        module, plan = lean_network(
            program.module(), limit_s=search_s, on_progress=lambda line: on_progress(f"batch {size}: {line}")
        )
        on_progress(
            f"compiling batch {size} with {kernel_count(module)} kernels of ours, "
            f"{len(plan.left)} convolutions left to PyTorch"
        )
        _package(torch.export.export(module, (frames,)), path)
    except FAULTS as exc:
        on_progress(f"batch {size} without kernels of ours: {reason_from_error(exc)}")
        return None
    return plan.to_json()


def _package(program: Any, path: Path) -> None:
    from torch._inductor import aoti_compile_and_package

    aoti_compile_and_package(program, package_path=str(path))


def output_from_package(
    package: Path, frames_nhwc: np.ndarray[Any, np.dtype[np.uint8]], *, size: int, device: str
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The package's output for each picture, (n, …) float32; a batch of `size` is filled with them in turn."""
    from torch._inductor import aoti_load_package

    run = aoti_load_package(str(package))
    outputs = []
    for first in range(0, len(frames_nhwc), size):
        frames = frames_nhwc[first : first + size]
        batch = torch.from_numpy(np.resize(frames, (size, *frames.shape[1:]))).to(device)
        outputs.append(run(batch)[: len(frames)].cpu().numpy())
    return np.concatenate(outputs).astype(np.float32)
