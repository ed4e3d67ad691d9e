from __future__ import annotations

from typing import Any

import pytest
import torch

from photofinish.export.graph.frames_torch import frames_network_from_source
from photofinish.export.kernels.graph.emit import graph_of_steps
from photofinish.export.kernels.graph.recognise import steps_of_graph
from photofinish.export.kernels.graph.steps import AttentionStep, GraphStep, LayerStep, PoolsStep, RowsStep
from photofinish.export.kernels.layers.layer import Layer, Tile
from photofinish.export.loading.weights import find_weights, load_source

TILE = Tile(pixels=16, channels=16, depth=16)


def traced(weights: str, size: int = 64, batch: int = 2) -> tuple[Any, torch.Tensor]:
    """A traced FP16 network and frames for it."""
    source = load_source(find_weights(weights), input_size=size)
    network = frames_network_from_source(source, precision="fp16")
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (batch, size, size, 3), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        network(frames)
        return torch.export.export(network, (frames,)).module(), frames


def count(steps: list[GraphStep], kind: type) -> int:
    return sum(isinstance(step, kind) for step in steps)


@pytest.mark.parametrize(
    ("weights", "layers", "others"),
    [
        ("demo", 94, (2, 1, 1)),
        ("yolov8n.yaml", 63, (0, 1, 0)),
        ("yolov10n.yaml", 69, (1, 1, 1)),
        ("yolo11n.yaml", 80, (1, 1, 0)),
        # Its batch normalisations stand between the convolutions and what follows them.
        ("torchvision:resnet18", 0, (0, 0, 0)),
    ],
)
def test_a_network_of_layers_gives_what_the_network_gives(
    weights: str, layers: int, others: tuple[int, int, int]
) -> None:
    module, frames = traced(weights)
    found = steps_of_graph(module)
    assert count(found.steps, LayerStep) == layers
    assert (
        count(found.steps, AttentionStep),
        count(found.steps, PoolsStep),
        count(found.steps, RowsStep),
    ) == others
    lean = graph_of_steps(module, found, lambda layer: TILE)
    with torch.no_grad():
        expected = module(frames)
        answer = lean(frames)
        again = torch.export.export(lean, (frames,)).module()(frames)
    confidence = (..., 4) if expected.dim() == 3 else ...
    torch.testing.assert_close(answer[confidence], expected[confidence], atol=0.02, rtol=0)
    assert torch.equal(again, answer)


def test_a_convolution_that_is_to_be_left_stays_as_it_was() -> None:
    module, frames = traced("demo")
    named = [step.stages[0].names[0] for step in steps_of_graph(module).steps if isinstance(step, LayerStep)]
    left = set(named[::7])
    found = steps_of_graph(module, leave=left)
    # A 1×1 convolution behind a depthwise one takes that along.
    assert count(found.steps, LayerStep) == len(named) - len(left)
    kept = {name for step in found.steps if isinstance(step, LayerStep) for name in step.stages[0].names}
    assert not kept & left
    with torch.no_grad():
        answer = graph_of_steps(module, found, lambda layer: TILE)(frames)
        torch.testing.assert_close(answer[..., 4], module(frames)[..., 4], atol=0.02, rtol=0)


def test_nothing_is_concatenated_split_or_enlarged_for_a_layer() -> None:
    module, _ = traced("demo")
    asked: list[Layer] = []

    def choose(layer: Layer) -> Tile:
        asked.append(layer)
        return TILE

    lean = graph_of_steps(module, steps_of_graph(module), choose)
    targets = [str(node.target) for node in lean.graph.nodes if node.op == "call_function"]
    assert targets.count("aten.upsample_nearest2d.vec") == 0
    assert targets.count("aten.split_with_sizes.default") == 0
    # What is left are the three scales of the head, and the two sides of its boxes.
    assert targets.count("aten.cat.default") == 3
    assert max(len(layer.stages[0].sources) for layer in asked) >= 2
    assert any(source.halved for layer in asked for source in layer.stages[0].sources)
    assert asked[0].kind == "pairs"


class _Residual(torch.nn.Module):
    """Frames, a wide window, and a block that is added to before its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 7, stride=2, padding=3)
        self.first = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.second = torch.nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        images = (frames.float() / 255).permute(0, 3, 1, 2).half()
        images = torch.nn.functional.relu(self.stem(images))
        found = self.second(torch.nn.functional.relu(self.first(images)))
        return torch.nn.functional.relu(found + images).flatten(2).float()


def test_a_residual_before_its_activation_is_taken_in() -> None:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8)
    with torch.no_grad():
        module = torch.export.export(_Residual().half().eval(), (frames,)).module()
        found = steps_of_graph(module)
        stem, first, second = (step for step in found.steps if isinstance(step, LayerStep))
        assert (stem.kind, stem.kernel, first.kind) == ("frames", 7, "window")
        assert second.stages[0].residual is not None
        assert (second.stages[0].activation, second.stages[0].last_activation) == ("none", "relu")
        answer = graph_of_steps(module, found, lambda layer: TILE)(frames)
        torch.testing.assert_close(answer, module(frames), atol=0.01, rtol=0.01)


def test_many_classes_are_chosen_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = traced("demo")
    monkeypatch.setattr("photofinish.export.kernels.graph.recognise.fits", lambda *sizes: False)
    assert count(steps_of_graph(module).steps, RowsStep) == 0
