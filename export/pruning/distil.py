"""A pruned detector taught by the unpruned one: on pictures alone, their labels are not looked at."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from ultralytics.nn.modules import Conv

from photofinish.errors import ExportError
from photofinish.export.pruning.lessons import Lessons
from photofinish.export.pruning.refit import PICTURES, refit_convolutions
from photofinish.export.pruning.structure import KeptChannels, outputs_from_network
from photofinish.machine.processor import BF16_FLAGS, processor_flags

BATCH_SIZES = {"cpu": 4, "cuda": 32}
THREADS = {"cpu": 2, "cuda": 12}
LEARNING_RATE = 1e-3
WARM_UP = 0.03
"""Share of the budget in which the learning rate rises."""
GRADIENT_NORM = 10.0
BOX_WEIGHT, FEATURE_WEIGHT = 2.0, 1.0
LEAST_CONFIDENCE = 0.01
"""Where the unpruned network sees nothing, its boxes teach nothing."""
TOLD_EVERY_S = 15.0
MEASURED = 8
"""Pictures at once, a few times, for the distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingPlan:
    """How long and on what. The run ends with its last epoch, or after `minutes`, whichever comes first.

    pictures: files; they are shown zoomed, shifted and mirrored at random. seed: of order and augmentation.
    """

    pictures: Sequence[Path]
    input_size: int
    epochs: int
    minutes: float
    device: str = "cpu"
    batch_size: int = 0
    learning_rate: float = LEARNING_RATE
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingFigures:
    """What the teaching did. distance: of the answers from the unpruned network's, 0 for the same answers.

    Before, with convolutions solved anew, and after, on the same pictures, as they are.
    """

    pictures: int
    steps: int
    epochs: float
    minutes: float
    distance_before: float
    distance_refit: float
    distance: float


def teach(
    student: Any,
    teacher: Any,
    kept: KeptChannels,
    plan: TeachingPlan,
    *,
    on_progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> TeachingFigures:
    """Fine-tune `student` in place until the budget is spent. kept: the teacher's channels that are left.

    Its convolutions are solved anew first. Then it learns the teacher's class scores, its boxes where it sees
    something, and its blocks' outputs.
    Raises ExportError where the pictures teach nothing, SourceError for a picture that cannot be read.
    """
    device = torch.device(plan.device)
    size = plan.batch_size or BATCH_SIZES[device.type]
    size = min(size, len(plan.pictures))
    if size < 2:
        raise ExportError(f"--prune found {len(plan.pictures)} picture to learn from, expected at least 2; pass more")
    student.to(device)
    teacher = copy.deepcopy(teacher).to(device).eval().requires_grad_(False)
    blocks = {position: index.to(device) for position, index in kept.blocks.items()}
    steps = math.ceil(plan.epochs * len(plan.pictures) / size)
    lessons = Lessons(
        pictures=plan.pictures,
        side=plan.input_size,
        batch_size=size,
        seed=plan.seed,
        threads=THREADS[device.type],
    )
    with torch.no_grad():
        fixed = [(item, outputs_from_network(teacher, item.to(device))[0]) for item in lessons.as_served(MEASURED)]
    before = _mean_distance(student, fixed)
    many = replace(lessons, batch_size=min(PICTURES, len(plan.pictures)))
    refit_convolutions(student, teacher, kept.convolutions, next(iter(many.batches(1))).to(device))
    refit = _mean_distance(student, fixed)
    teacher = _fused(teacher)
    student.requires_grad_(True)
    optimizer = torch.optim.AdamW(_groups(student), lr=plan.learning_rate)
    on_progress(
        f"pruning: learning from {len(plan.pictures)} pictures, at most {plan.epochs} epochs and {plan.minutes:g} min; "
        f"distance to the unpruned answers {before:.3g}, {refit:.3g} with its weights solved anew"
    )
    began, told, done = clock(), clock(), 0
    student.train()
    for batch in lessons.batches(steps):
        spent = max(done / steps, (clock() - began) / (plan.minutes * 60))
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _rate(spent)
        with _quick_arithmetic(device):
            loss = _loss(student, teacher, blocks, batch.to(device))
        if not torch.isfinite(loss):
            raise ExportError("fine-tuning the pruned network diverged; pass a smaller --prune, or other pictures")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), GRADIENT_NORM)
        optimizer.step()
        done += 1
        if clock() - told >= TOLD_EVERY_S:
            told = clock()
            on_progress(
                f"pruning: epoch {_epochs_of(done, size, plan):.1f} of {plan.epochs}, "
                f"{(told - began) / 60:.1f} of {plan.minutes:g} min, loss {float(loss.detach()):.3g}"
            )
    student.eval()
    after = _mean_distance(student, fixed)
    student.cpu()
    figures = TeachingFigures(
        pictures=len(plan.pictures),
        steps=done,
        epochs=round(_epochs_of(done, size, plan), 2),
        minutes=round((clock() - began) / 60, 2),
        distance_before=before,
        distance_refit=refit,
        distance=after,
    )
    on_progress(f"pruning: distance to the unpruned answers {before:.3g} → {after:.3g} in {figures.minutes:g} min")
    return figures


def distance_between(head: Any, answers: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> torch.Tensor:
    """How far raw answers lie from the teacher's: class scores, and boxes weighted by the teacher's confidence.

    head: the network's, which decodes both. Scores count per object that the teacher sees.
    """
    aims = wanted["scores"].sigmoid()
    confidence = aims.amax(dim=1)
    seen = torch.where(confidence > LEAST_CONFIDENCE, confidence, 0.0)
    total = seen.sum().clamp(min=1.0)
    logits = answers["scores"].float()
    # Cross entropy less the teacher's own entropy: 0 where both agree. Weighted like quality focal loss.
    differs = functional.binary_cross_entropy_with_logits(logits, aims, reduction="none")
    entropy = functional.binary_cross_entropy_with_logits(wanted["scores"].float(), aims, reduction="none")
    scores = ((differs - entropy) * (0.25 + (logits.detach().sigmoid() - aims).abs())).sum() / total
    found, aim = (head.dfl(item["boxes"].float()) for item in (answers, wanted))
    boxes = ((1 - _overlap(found, aim) + 0.1 * (found - aim).abs().mean(dim=1)) * seen).sum() / total
    return scores + BOX_WEIGHT * boxes


def _overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """IoU of boxes given as distances (left, top, right, bottom) from the same anchors: (n, anchors)."""
    one, other = one.clamp(min=0.01), other.clamp(min=0.01)
    left, top, right, bottom = torch.minimum(one, other).unbind(1)
    shared = (left + right) * (top + bottom)
    areas = [(box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3]) for box in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


def _loss(student: Any, teacher: Any, kept: dict[int, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        wanted, aims = outputs_from_network(teacher, images)
    answers, found = outputs_from_network(student, images)
    apart = []
    for position, index in kept.items():
        if len(index) == found[position].shape[1]:
            aim = aims[position][:, index].float()
            apart.append(functional.mse_loss(found[position].float(), aim) / aim.var().clamp(min=1e-6))
    features = torch.stack(apart).mean() if apart else torch.zeros((), device=images.device)
    return distance_between(student.model[-1], answers, wanted) + FEATURE_WEIGHT * features


def _mean_distance(student: Any, fixed: Sequence[tuple[torch.Tensor, dict[str, torch.Tensor]]]) -> float:
    """Over batches of pictures and the teacher's answers to them."""
    student.eval()
    head, device = student.model[-1], next(student.parameters()).device
    with torch.no_grad():
        found = [
            distance_between(head, outputs_from_network(student, images.to(device))[0], wanted)
            for images, wanted in fixed
        ]
    return float(torch.stack(found).mean())


def _epochs_of(steps: int, batch_size: int, plan: TeachingPlan) -> float:
    """How often each picture was shown after so many steps; the last batch may hold more than is left of an epoch."""
    return min(steps * batch_size / len(plan.pictures), plan.epochs)


def _rate(spent: float) -> float:
    """Share of the learning rate after that share of the budget: a short rise, then a cosine to 1 %."""
    if spent < WARM_UP:
        return max(spent / WARM_UP, 0.05)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (spent - WARM_UP) / (1 - WARM_UP))) / 2


def _quick_arithmetic(device: torch.device) -> torch.autocast:
    """BF16 for convolutions on a processor that computes in it: a step takes half the time. Losses stay FP32."""
    quick = device.type == "cpu" and not BF16_FLAGS.isdisjoint(processor_flags())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=quick)


def _fused(network: Any) -> Any:
    """The same network with each normalisation folded into its convolution: it answers alone, and sooner."""
    for module in network.modules():
        if isinstance(module, Conv) and hasattr(module, "bn"):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.forward = module.forward_fuse
    return network


def _groups(network: Any) -> list[dict[str, Any]]:
    """Weights that decay, and biases and normalisation, which do not."""
    parameters = list(network.parameters())
    return [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": 1e-4},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
