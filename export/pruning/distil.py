"""A pruned detector taught by the unpruned one: on pictures alone, their labels are not looked at."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from photofinish.errors import ExportError
from photofinish.export.pruning.structure import outputs_from_network
from photofinish.letterbox import PAD_VALUE, images_nchw_from_frames, letterboxed_from_image
from photofinish.pictures import image_from_file

BATCH_SIZES = {"cpu": 8, "cuda": 32}
LEARNING_RATE = 1e-3
WARM_UP = 0.03
"""Share of the budget in which the learning rate rises."""
GRADIENT_NORM = 10.0
BOX_WEIGHT, FEATURE_WEIGHT = 2.0, 1.0
LEAST_CONFIDENCE = 0.01
"""Where the unpruned network sees nothing, its boxes teach nothing."""
TOLD_EVERY_S = 15.0
MEASURED_BATCHES = 4
_ZOOM, _SHIFT = 0.25, 0.1


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

    Before and after, on the same pictures, as they are.
    """

    pictures: int
    steps: int
    epochs: float
    minutes: float
    distance_before: float
    distance: float


def teach(
    student: Any,
    teacher: Any,
    kept: dict[int, torch.Tensor],
    plan: TeachingPlan,
    *,
    on_progress: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> TeachingFigures:
    """Fine-tune `student` in place until the budget is spent. kept: the teacher's channels that each block still has.

    It learns the teacher's class scores, its boxes where it sees something, and its blocks' outputs.
    Raises ExportError where the pictures teach nothing, SourceError for a picture that cannot be read.
    """
    device = torch.device(plan.device)
    size = plan.batch_size or BATCH_SIZES[device.type]
    size = min(size, len(plan.pictures))
    if size < 2:
        raise ExportError(f"--prune found {len(plan.pictures)} picture to learn from, expected at least 2; pass more")
    student.to(device)
    teacher = copy.deepcopy(teacher).to(device).eval().requires_grad_(False)
    kept = {position: index.to(device) for position, index in kept.items()}
    student.requires_grad_(True)
    optimizer = torch.optim.AdamW(_groups(student), lr=plan.learning_rate)
    steps = math.ceil(plan.epochs * len(plan.pictures) / size)
    began, told, done = clock(), clock(), 0
    fixed = list(_fixed_batches(plan, min(size, 16)))
    before = _mean_distance(student, teacher, kept, fixed, device)
    on_progress(
        f"pruning: learning from {len(plan.pictures)} pictures, at most {plan.epochs} epochs and {plan.minutes:g} min; "
        f"distance to the unpruned answers {before:.3g}"
    )
    student.train()
    for batch in _batches(plan, size, steps):
        spent = max(done / steps, (clock() - began) / (plan.minutes * 60))
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _rate(spent)
        images = batch.to(device)
        loss = _loss(student, teacher, kept, images)
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
    after = _mean_distance(student, teacher, kept, fixed, device)
    student.cpu()
    figures = TeachingFigures(
        pictures=len(plan.pictures),
        steps=done,
        epochs=round(_epochs_of(done, size, plan), 2),
        minutes=round((clock() - began) / 60, 2),
        distance_before=before,
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


def _mean_distance(
    student: Any, teacher: Any, kept: dict[int, torch.Tensor], batches: Sequence[torch.Tensor], device: torch.device
) -> float:
    student.eval()
    with torch.no_grad():
        found = [
            distance_between(student.model[-1], *(outputs_from_network(item, batch)[0] for item in (student, teacher)))
            for batch in (images.to(device) for images in batches)
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


def _groups(network: Any) -> list[dict[str, Any]]:
    """Weights that decay, and biases and normalisation, which do not."""
    parameters = list(network.parameters())
    return [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": 1e-4},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]


def _fixed_batches(plan: TeachingPlan, size: int) -> Iterator[torch.Tensor]:
    """A few batches spread over the pictures, as they are."""
    wanted = min(len(plan.pictures), size * MEASURED_BATCHES)
    chosen = [plan.pictures[index * len(plan.pictures) // wanted] for index in range(wanted)]
    for begin in range(0, wanted, size):
        yield _tensor_from([_square(image_from_file(path), plan.input_size) for path in chosen[begin : begin + size]])


def _batches(plan: TeachingPlan, size: int, steps: int) -> Iterator[torch.Tensor]:
    """`steps` batches of varied pictures, read ahead by threads; (size, 3, side, side) float32 in 0..1."""
    rng = np.random.default_rng(plan.seed)
    order: list[int] = []

    def batch(pool: ThreadPoolExecutor) -> list[Any]:
        while len(order) < size:
            order.extend(rng.permutation(len(plan.pictures)).tolist())
        chosen = [order.pop(0) for _ in range(size)]
        return [
            pool.submit(_varied, plan.pictures[index], plan.input_size, int(rng.integers(1 << 31))) for index in chosen
        ]

    with ThreadPoolExecutor(2 if plan.device == "cpu" else 12) as pool:
        ahead = [batch(pool) for _ in range(min(2, steps))]
        try:
            for _ in range(steps):
                pictures = [future.result() for future in ahead.pop(0)]
                ahead.append(batch(pool))
                yield _tensor_from(pictures)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _varied(path: Path, side: int, seed: int) -> npt.NDArray[np.uint8]:
    """The letterboxed picture, zoomed, shifted, mirrored and of another brightness."""
    rng = np.random.default_rng(seed)
    image = _square(image_from_file(path), side)
    zoom = 1 + rng.uniform(-_ZOOM, _ZOOM)
    moved = side * ((1 - zoom) / 2 + rng.uniform(-_SHIFT, _SHIFT, 2))
    matrix = np.array([[zoom, 0, moved[0]], [0, zoom, moved[1]]])
    image = np.asarray(cv2.warpAffine(image, matrix, (side, side), borderValue=(PAD_VALUE,) * 3), np.uint8)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return np.asarray(np.clip(image * rng.uniform(0.75, 1.25), 0, 255), np.uint8)


def _square(image_bgr: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The picture as the model's input takes it, RGB."""
    return letterboxed_from_image(image_bgr, (side, side), swap_channels=True)[0]


def _tensor_from(frames: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(images_nchw_from_frames(np.stack(frames)))
