"""Convolutions solved anew: the same answers where nothing is missing, nearer ones where channels went."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from photofinish.export.loading.ultralytics import network_from_pt
from photofinish.export.pruning.refit import refit_convolutions
from photofinish.export.pruning.structure import keep_served_head, outputs_from_network, prune_channels


@pytest.fixture
def teacher(small_weights: Path) -> Any:
    loaded = network_from_pt(small_weights).float().eval()
    keep_served_head(loaded, "small.pt")
    generator = torch.Generator().manual_seed(1)
    for module in loaded.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after a training: all channels differ
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
    return loaded.requires_grad_(False)


def test_what_lost_no_channel_answers_the_same(teacher: Any) -> None:
    student, images = copy.deepcopy(teacher), _images(0)
    names = {name: torch.arange(conv.out_channels) for name, conv in _convolutions(student)}
    names.pop("model.6.dfl.conv", None)
    assert refit_convolutions(student, teacher, names, images) == len(names)
    assert _apart(student, teacher, _images(1)) < 0.01, "on other pictures too"


def test_the_answers_of_the_unpruned_network_come_nearer(teacher: Any) -> None:
    student = copy.deepcopy(teacher).requires_grad_(True)
    _, kept = prune_channels(student, 0.3, weights="small.pt")
    merged = student.model[2].cv1.conv
    assert len(kept.convolutions["model.2.cv1.conv"]) == merged.out_channels < 32, "both halves count"
    before = _apart(student, teacher, _images(1))
    sizes = [conv.weight.flatten(1).norm(dim=1) for name, conv in _convolutions(student) if name.startswith("model.1.")]
    assert refit_convolutions(student, teacher, kept.convolutions, _images(0)) > 10
    assert _apart(student, teacher, _images(1)) < 0.7 * before
    (size,) = (conv.weight.flatten(1).norm(dim=1) for name, conv in _convolutions(student) if name == "model.1.conv")
    torch.testing.assert_close(size, sizes[0], rtol=1e-3, atol=1e-4)


def _apart(student: Any, teacher: Any, images: torch.Tensor) -> float:
    """The mean difference of class scores and boxes, as a share of how much the teacher's vary."""
    with torch.no_grad():
        found, wanted = (outputs_from_network(item.eval(), images)[0] for item in (student, teacher))
    return float(torch.stack([(found[key] - wanted[key]).abs().mean() / wanted[key].std() for key in wanted]).mean())


def _images(seed: int) -> torch.Tensor:
    return torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def _convolutions(network: Any) -> list[tuple[str, Any]]:
    return [(name, item) for name, item in network.named_modules() if isinstance(item, torch.nn.Conv2d)]
