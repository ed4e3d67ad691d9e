"""Variants of engines, and engines built from them, for every test of TensorRT."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photofinish.variant import Variant


def engine_variant(precision: str = "fp16", **changes: object) -> Variant:
    values: dict[str, object] = {
        "model": "toy",
        "suffix": f"trt_{precision}",
        "role": "optimised",
        "backend": "tensorrt",
        "precision": precision,
        "contract": "frames",
        "recipe": f"engine_{precision}",
        "servers": ("embedded", "container"),
        "devices": ("cuda",),
        "max_batch_size": 32,
        "batch_buckets": (1, 2, 4, 8, 16, 32),
        "instance_count": 1,
        "max_queue_delay_us": 500,
        "min_map_share": 0.99,
        "cuda_graphs": True,
        "tf32": False,
    }
    return Variant(**{**values, **changes})  # type: ignore[arg-type]


def build(onnx_path: Path, destination: Path, precision: str = "fp16", *, target: str = "sm120") -> list[str]:
    """Build with the timing cache in the destination's own folder's parent; the progress lines."""
    from photofinish.export.tensorrt.engine import EngineRequest, engine_from_onnx

    lines: list[str] = []
    request = EngineRequest(
        target=target,
        timing_cache_dir=destination.parent.parent / "timing",
        rebuild="photofinish export --variant trt",
        on_progress=lines.append,
    )
    engine_from_onnx(onnx_path, engine_variant(precision), destination, request)
    return lines


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """No file grows larger. What is imported for the first time meanwhile is not kept as bytecode: Python would cut it
    off at the limit, and every later run would fail at that import."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_bytecode
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
