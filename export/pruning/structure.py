"""Channels out of a detector: which may go, which went, and what share of it that was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import C3, Detect
from ultralytics.nn.modules.block import A2C2f, ABlock, Attention
from ultralytics.nn.modules.head import v10Detect

from photofinish.errors import ExportError, reason_from_error
from photofinish.export.pruning.halves import CUT_IN_TWO, Halves

TRACE_SIDE = 128
"""Side of the picture that the graph is traced with and operations are counted on; shares do not depend on it."""
_FAILURES = (IndexError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError)
"""What torch-pruning raises for a graph that it does not follow, and torch for layers that then no longer fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningFigures:
    """What went. Parameters and multiply-adds before and after, of the network as it is served but for its head's NMS.

    kept_whole: how many convolutions kept all their outputs, because they are attention, tied to it or the head's last.
    """

    parameters_before: int
    parameters: int
    operations_before: int
    operations: int
    kept_whole: int
    convolutions: int

    @property
    def parameters_share(self) -> float:
        """Share of the parameters that is left."""
        return self.parameters / self.parameters_before

    @property
    def operations_share(self) -> float:
        """Share of the multiply-adds that is left."""
        return self.operations / self.operations_before


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChannels:
    """Which of the unpruned network's channels are left. blocks: of a block's output, by its number.

    convolutions: of a convolution's output, by its name. What is not known is left out.
    """

    blocks: dict[int, torch.Tensor]
    convolutions: dict[str, torch.Tensor]


def keep_served_head(network: Any, weights: str) -> None:
    """Take away what is never served: the one-to-many half of an NMS-free head. ExportError for another head."""
    head = network.model[-1]
    if type(head) not in (Detect, v10Detect):
        raise ExportError(
            f"{weights} has a {type(head).__name__} head; --prune takes detectors with a Detect head: export it "
            "without --prune, or pass such a detector"
        )
    if getattr(head, "one2one_cv2", None) is not None:
        network.end2end = True
        head.cv2 = head.cv3 = None


def prune_channels(network: Any, ratio: float, *, weights: str) -> tuple[PruningFigures, KeptChannels]:
    """Take about `ratio` of each layer's channels out of `network`, in place; those whose weights are smallest.

    Second: which of the unpruned channels are left.
    What torch-pruning does not follow stays whole: attention and what adds to it, and the outputs of the head.
    ExportError for a network that cannot be pruned.
    """
    import torch_pruning as library

    images = torch.zeros(1, 3, TRACE_SIDE, TRACE_SIDE)
    before = _counted(network, images)
    widths = {name: conv.out_channels for name, conv in _convolutions(network)}
    for position, block in enumerate(network.model):
        if isinstance(block, CUT_IN_TWO):
            network.model[position] = Halves(block)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    removed: dict[nn.Module, set[int]] = defaultdict(set)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():  # the graph is read from autograd's
            pruner = library.pruner.BasePruner(
                network,
                images,
                importance=library.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio_dict={conv: _share_to_take(conv.out_channels, ratio) for conv in convolutions},
                ignored_layers=list(_kept_whole(network)),
                forward_fn=lambda traced, batch: list(outputs_from_network(traced, batch)[0].values()),
            )
        for group in pruner.step(interactive=True):
            for dependency, channels in group:
                if pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                    removed[dependency.target.module].update(int(index) for index in channels)
            group.prune()
        left = {conv: _left_of(conv, removed) for _, conv in _convolutions(network)}
        blocks = _kept_of_blocks(network, left)
        for position, block in enumerate(network.model):
            if isinstance(block, Halves):
                network.model[position] = merged = block.merged()
                first, second = (half.conv for half in (block.first, block.second))
                width = first.out_channels + len(removed.get(first, ()))
                left[merged.cv1.conv] = torch.cat([left[first], left[second] + width])
        kept = KeptChannels(
            blocks=blocks,
            convolutions={
                name: left[conv] for name, conv in _convolutions(network) if len(left[conv]) == conv.out_channels
            },
        )
        after = _counted(network, images)
    except _FAILURES as exc:
        raise ExportError(
            f"{weights} cannot be pruned ({reason_from_error(exc, limit=160)}): torch-pruning does not follow one of "
            "its blocks; export it without --prune (YOLOv5u, v8, v10, 11, 12 and 26 detectors can be pruned)"
        ) from exc
    whole = sum(widths[name] == conv.out_channels for name, conv in _convolutions(network))
    figures = PruningFigures(
        parameters_before=before[0],
        parameters=after[0],
        operations_before=before[1],
        operations=after[1],
        kept_whole=whole,
        convolutions=len(widths),
    )
    if figures.parameters == figures.parameters_before:
        raise ExportError(f"--prune {ratio:g} takes no channel out of {weights}; pass a larger share")
    return figures, kept


def outputs_from_network(network: Any, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """What the served head computes before decoding, and the output of every block before it.

    images: (n, 3, height, width) in 0..1. boxes: (n, 4 × bins, anchors), scores: (n, classes, anchors), logits.
    Unlike Ultralytics' own training, a gradient flows from the one-to-one head into the network.
    """
    found: list[Any] = []
    x: Any = images
    for block in network.model[:-1]:
        x = block(_inputs(block, x, found))
        found.append(x)
    head = network.model[-1]
    parts = head.one2many if getattr(head, "one2one_cv2", None) is None else head.one2one
    answers = head.forward_head(_inputs(head, x, found), **parts)
    return {"boxes": answers["boxes"], "scores": answers["scores"]}, found


def _inputs(block: Any, last: Any, found: list[Any]) -> Any:
    if block.f == -1:
        return last
    return found[block.f] if isinstance(block.f, int) else [last if at == -1 else found[at] for at in block.f]


def _share_to_take(channels: int, ratio: float) -> float:
    """The share that leaves a multiple of 8 channels, of narrow layers of 4: vector units compute no fewer."""
    step = 8 if channels >= 32 else 4
    left = min(channels, max(step, round(channels * (1 - ratio) / step) * step))
    # torch-pruning rounds down what is left.
    return 1 - (left + 0.5) / channels if left < channels else 0.0


def _kept_whole(network: Any) -> Iterator[nn.Module]:
    """The layers whose outputs must stay: the head's last ones, attention, and what is added to it."""
    head = network.model[-1]
    yield head.dfl
    for parts in (head.cv2, head.cv3, getattr(head, "one2one_cv2", None), getattr(head, "one2one_cv3", None)):
        for part in parts or ():
            yield part[-1]
    for module in network.modules():
        attends = any(isinstance(inner, (Attention, ABlock)) for inner in module.modules())
        if isinstance(module, Halves) and attends:
            yield from (module.first.conv, module.second.conv)
        elif isinstance(module, A2C2f) and attends:
            yield module.cv1.conv
        elif isinstance(module, (Attention, ABlock)):
            yield from (inner for inner in module.modules() if isinstance(inner, nn.Conv2d))


def _left_of(conv: nn.Conv2d, removed: dict[nn.Module, set[int]]) -> torch.Tensor:
    """Which of a convolution's former outputs it still has."""
    gone = removed.get(conv, set())
    return torch.tensor([i for i in range(conv.out_channels + len(gone)) if i not in gone])


def _kept_of_blocks(network: Any, left: dict[nn.Conv2d, torch.Tensor]) -> dict[int, torch.Tensor]:
    kept = {}
    for position, block in enumerate(network.model[:-1]):
        last = (
            block.last
            if isinstance(block, Halves)
            else getattr(block, "cv3" if isinstance(block, C3) else "cv2", block)
        )
        if (conv := getattr(last, "conv", None)) in left:
            kept[position] = left[conv]
    return kept


def _convolutions(network: Any) -> Iterator[tuple[str, nn.Conv2d]]:
    return ((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))


def _counted(network: Any, images: torch.Tensor) -> tuple[int, int]:
    """Parameters, and multiply-adds of the convolutions on `images`."""
    operations = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal operations
        operations += output.numel() * module.weight[0].numel()

    hooks = [conv.register_forward_hook(count) for _, conv in _convolutions(network)]
    try:
        with torch.no_grad():
            outputs_from_network(network.eval(), images)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(parameter.numel() for parameter in network.parameters()), operations
