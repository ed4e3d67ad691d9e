"""torchvision classifiers to a ModelSource, for the classic ResNet comparison."""

from __future__ import annotations

import copy

import torch
from torch import nn

from photofinish.errors import ExportError
from photofinish.export.graph.source import ModelSource, class_names_from

CLASSIFIERS = ("resnet18", "resnet34", "resnet50", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0")
CLASSES = 1000
DEFAULT_INPUT_SIZE = 224
STRIDE = 32
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, which torchvision's classifiers are trained with; inside the graph, so that clients need not know."""


class _Classifier(nn.Module):
    """Images [N,3,H,W] in 0..1 to scores [N,classes] that sum to 1."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = ((images - self.mean) / self.std).to(next(self.network.parameters()).dtype)
        scores: torch.Tensor = self.network(images).float().softmax(dim=1)
        return scores

    def half_layers(self) -> _Classifier:
        """A copy whose layers compute in FP16; the scores stay FP32."""
        copied = copy.deepcopy(self)
        copied.network.half()
        return copied


def source_from_torchvision(weights: str, *, model: str, sha256: str, input_size: int | None) -> ModelSource:
    """An untrained classifier with seeded random weights: good for speed, its classes mean nothing."""
    name = weights.partition(":")[2]
    if name not in CLASSIFIERS:
        raise ExportError(f"{weights} is not known; pass one of torchvision:{', torchvision:'.join(CLASSIFIERS)}")
    try:
        import torchvision
    except ImportError as exc:
        raise ExportError(f'{weights} needs torchvision ({exc}); `pip install "photofinish[export]"`') from exc
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    try:
        network = torchvision.models.get_model(name, weights=None, num_classes=CLASSES)
    finally:
        torch.random.set_rng_state(state)
    size = input_size or DEFAULT_INPUT_SIZE
    classifier = _Classifier(network).eval()
    for parameter in classifier.parameters():
        parameter.requires_grad_(False)
    return ModelSource(
        kind="torch",
        model=model,
        weights=weights,
        weights_sha256=sha256,
        task="classify",
        head="scores",
        raw_dims=(CLASSES,),
        nms_free=True,
        input_wh=(size, size),
        stride=STRIDE,
        class_names=class_names_from((), count=CLASSES),
        untrained=True,
        network=classifier,
        make_fp16_network=classifier.half_layers,
    )
