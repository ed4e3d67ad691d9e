"""Blocks that cut one convolution's output in two, as two convolutions while they are pruned."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import C2f
from ultralytics.nn.modules.block import C2PSA, PSA

from photofinish.errors import ExportError

CUT_IN_TWO = (C2f, C2PSA, PSA)
"""Ultralytics' blocks whose `cv1` makes 2c channels that `forward` cuts in two; C3k2 and C2fCIB are C2f."""


class Halves(nn.Module):
    """Such a block with `cv1` as two convolutions: torch-pruning's graph does not follow a cut through a tensor.

    It computes what the block computes. `merged` is the block again, which must find both halves of one width.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.f, self.i = block.f, block.i
        self.first = _part_of_conv(block.cv1, slice(0, block.c))
        self.second = _part_of_conv(block.cv1, slice(block.c, None))
        self.inner = nn.ModuleList([block.attn, block.ffn]) if isinstance(block, PSA) else block.m
        self.last = block.cv2
        self._block = [block]  # in a list, so that its own cv1 is no parameter of this module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's own output: (n, channels, height, width)."""
        parts = [self.first(x), self.second(x)]
        for module in self.inner:
            if isinstance(self._block[0], C2f):
                parts.append(module(parts[-1]))
            elif isinstance(self._block[0], PSA):
                parts[1] = parts[1] + module(parts[1])
            else:
                parts[1] = module(parts[1])
        result: torch.Tensor = self.last(torch.cat(parts, 1))
        return result

    def merged(self) -> Any:
        """Ultralytics' block with the weights as they are now. ExportError where the halves differ in width."""
        block, width = self._block[0], self.first.conv.out_channels
        if self.second.conv.out_channels != width:
            raise ExportError(
                f"block {self.i} ({type(block).__name__}) was cut into halves of {width} and "
                f"{self.second.conv.out_channels} channels, expected equal ones; pass another --prune"
            )
        block.cv1, block.c = _joined_conv(self.first, self.second), width
        return block


def _part_of_conv(conv: Any, channels: slice) -> Any:
    """Some output channels of an Ultralytics Conv, with their normalisation."""
    part = copy.deepcopy(conv)
    _set_outputs(part, lambda module, name: getattr(_inside(conv, module), name).data[channels])
    return part


def _joined_conv(first: Any, second: Any) -> Any:
    joined = copy.deepcopy(first)
    _set_outputs(
        joined,
        lambda module, name: torch.cat([getattr(_inside(half, module), name).data for half in (first, second)]),
    )
    return joined


def _inside(conv: Any, name: str) -> Any:
    return getattr(conv, name)


def _set_outputs(conv: Any, values: Any) -> None:
    """Give a Conv new weights along its output. values: a tensor by (`conv` or `bn`, name)."""
    conv.conv.weight = nn.Parameter(values("conv", "weight").clone())
    conv.conv.out_channels = len(conv.conv.weight)
    if conv.conv.bias is not None:
        conv.conv.bias = nn.Parameter(values("conv", "bias").clone())
    if isinstance(getattr(conv, "bn", None), nn.BatchNorm2d):
        conv.bn.num_features = conv.conv.out_channels
        for name in ("weight", "bias"):
            setattr(conv.bn, name, nn.Parameter(values("bn", name).clone()))
        for name in ("running_mean", "running_var"):
            setattr(conv.bn, name, values("bn", name).clone())
