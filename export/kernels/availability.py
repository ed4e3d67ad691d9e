"""Whether kernels written in Triton can be used here, said in one line where not. Imports no Triton itself."""

from __future__ import annotations

import importlib.util

import torch

LEAST_CAPABILITY = (8, 0)
"""Triton makes no tensor-core products for GPUs before Ampere."""
FAULTS = (
    RuntimeError,
    TypeError,
    ValueError,
    OSError,
    AssertionError,
    ArithmeticError,
    LookupError,
    AttributeError,
    ImportError,
    SyntaxError,
)
"""What PyTorch's tracing and Triton raise for a network or a GPU that they cannot do."""


def kernels_problem(device: str) -> str:
    """Why kernels of ours cannot be used; "" where they can."""
    if device != "cuda" or not torch.cuda.is_available():
        return "they need an NVIDIA GPU"
    capability = torch.cuda.get_device_capability()
    if capability < LEAST_CAPABILITY:
        return f"they need compute capability 8.0, this GPU has {capability[0]}.{capability[1]}"
    if importlib.util.find_spec("triton") is None:
        return "this PyTorch comes without Triton's language"
    if not hasattr(torch.library, "triton_op"):
        return f"PyTorch {torch.__version__} cannot put them into a package; 2.6 and newer can"
    return ""
