"""A pruned network's convolutions solved anew, so that what is left of the inputs gives what all of them gave.

Source: He, Zhang, Sun: "Channel Pruning for Accelerating Very Deep Neural Networks" (ICCV 2017), its reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import Conv

from photofinish.export.pruning.structure import outputs_from_network

PICTURES = 24
POSITIONS = 6144
"""Of each convolution's output, over all pictures."""
RIDGE = 1e-3
"""How much the weights are held where they were, as a share of the inputs' mean square."""


@dataclass(frozen=True, slots=True)
class _SampledOutput:
    """Some positions of a convolution's output. wanted: (positions, channels), what the unpruned network has there."""

    picture: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    wanted: torch.Tensor


def refit_convolutions(student: Any, teacher: Any, kept: dict[str, torch.Tensor], images: torch.Tensor) -> int:
    """Solve the student's convolutions in place, first to last, by least squares; how many that were.

    kept: by a convolution's name, which of the teacher's outputs it still has. images: (n, 3, height, width) in 0..1.
    Each gets its inputs from those solved before it. Normalisation then has the mean and variance of its new input.
    """
    layers = {name: layer for name, layer in _layers(student) if name in kept}
    generator = torch.Generator().manual_seed(0)
    samples: dict[str, _SampledOutput] = {}
    hooks = [
        layer.register_forward_hook(_noting(samples, name, kept[name], generator))
        for name, layer in _layers(teacher)
        if name in layers
    ]
    student.eval()
    try:
        with torch.no_grad():
            outputs_from_network(teacher, images)
            hooks += [
                layer.register_forward_pre_hook(_solving(samples.pop(name)))
                for name, layer in layers.items()
                if name in samples
            ]
            outputs_from_network(student, images)
    finally:
        for hook in hooks:
            hook.remove()
    return len(layers)


def _layers(network: Any) -> list[tuple[str, Any]]:
    """Every convolution but a decoder's, with its normalisation where it has one; by the convolution's own name."""
    inside = {f"{name}.conv": module for name, module in network.named_modules() if isinstance(module, Conv)}
    fixed = f"model.{len(network.model) - 1}.dfl"
    return [
        (name, inside.get(name, module))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and not name.startswith(fixed)
    ]


def _noting(
    samples: dict[str, _SampledOutput], name: str, kept: torch.Tensor, generator: torch.Generator
) -> Callable[[Any, Any, torch.Tensor], None]:
    def note(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(layer, Conv):  # before its activation
            output = layer.bn(layer.conv(inputs[0]))
        count, _, height, width = output.shape
        every = count * height * width
        chosen = torch.randperm(every, generator=generator)[:POSITIONS].to(output.device)
        picture, rest = chosen // (height * width), chosen % (height * width)
        row, column = rest // width, rest % width
        samples[name] = _SampledOutput(picture, row, column, output[picture, :, row, column][:, kept.to(output.device)])

    return note


def _solving(sample: _SampledOutput) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
    def solve(layer: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        conv, norm = (layer.conv, layer.bn) if isinstance(layer, Conv) else (layer, None)
        patches = _patches(conv, inputs[0], sample)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps) if norm else torch.ones(len(conv.weight))
        before = conv.weight.flatten(1) * scale.to(conv.weight.device)[:, None]
        weights = _weights_from(patches, sample.wanted, before.unflatten(0, (conv.groups, -1)))
        answers = torch.einsum("pgd,god->pgo", patches, weights).flatten(1)
        offset = sample.wanted.mean(0) - answers.mean(0)
        weights = weights.flatten(0, 1)
        if norm is None:
            conv.weight.copy_(weights.view_as(conv.weight))
            conv.bias.copy_(offset)
            return
        # As large as before, so that one learning rate suits all: the normalisation has the rest.
        larger = weights.norm(dim=1).clamp(min=1e-6) / conv.weight.flatten(1).norm(dim=1).clamp(min=1e-6)
        conv.weight.copy_((weights / larger[:, None]).view_as(conv.weight))
        norm.running_mean.copy_(answers.mean(0) / larger)
        norm.running_var.copy_(answers.var(0) / larger.square())
        norm.weight.copy_(larger * torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(answers.mean(0) + offset)

    return solve


def _patches(conv: nn.Conv2d, inputs: torch.Tensor, sample: _SampledOutput) -> torch.Tensor:
    """What the convolution sees at the sample's positions: (positions, groups, inputs of a group × kernel)."""
    (down, right), (high, wide) = conv.padding, conv.kernel_size
    padded = nn.functional.pad(inputs, (right, right, down, down))
    parts = [
        padded[
            sample.picture,
            :,
            sample.row * conv.stride[0] + y * conv.dilation[0],
            sample.column * conv.stride[1] + x * conv.dilation[1],
        ]
        for y in range(high)
        for x in range(wide)
    ]
    return torch.stack(parts, dim=2).unflatten(1, (conv.groups, -1)).flatten(2)


def _weights_from(patches: torch.Tensor, wanted: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Weights near `before` whose answers have the wanted ones' differences: (groups, outputs, inputs × kernel)."""
    seen = (patches - patches.mean(0)).transpose(0, 1)
    missing = (wanted - wanted.mean(0)).unflatten(1, (len(before), -1)).transpose(0, 1) - seen @ before.mT
    products = (seen.mT @ seen / len(wanted)).double()
    held = RIDGE * products.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-9)
    products += held[:, None, None] * torch.eye(products.shape[1], dtype=torch.float64, device=products.device)
    change = torch.linalg.solve(products, (seen.mT @ missing / len(wanted)).double())
    return before + change.mT.float()
