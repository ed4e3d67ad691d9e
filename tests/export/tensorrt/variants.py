"""Variants for the tests of this folder."""

from __future__ import annotations

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
