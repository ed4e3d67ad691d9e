from __future__ import annotations

import torch
from torch.nn import Conv2d, Module, functional

from photofinish.export.kernels.graph.emit import graph_of_steps
from photofinish.export.kernels.graph.joins import chains, join_chains, join_siblings, joined_places
from photofinish.export.kernels.graph.recognise import steps_of_graph
from photofinish.export.kernels.graph.steps import LayerStep, PoolsStep
from photofinish.export.kernels.layers.layer import Layer, Tile
from photofinish.export.kernels.search.measure import layers_by_run
from tests.export.kernels.graph.test_recognise import TILE, count, traced


class Small(Module):
    """Two convolutions of FP16 pictures made of uint8 frames, and a max-pool of a part between them."""

    def __init__(self, *, pooled: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem = Conv2d(3, sum(pooled), 3, 2, 1)
        self.pooled = pooled
        self.head = Conv2d(sum(pooled), 16, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        images = (frames.to(torch.float32) / 255).permute(0, 3, 1, 2).to(torch.float16)
        found = functional.silu(self.stem(images))
        if all(self.pooled):
            before, part, behind = found.split(list(self.pooled), 1)
            found = torch.cat([before, functional.max_pool2d(part, 5, 1, 2), behind], 1)
        return functional.silu(self.head(found))  # type: ignore[no-any-return]


def small(*pooled: int) -> tuple[Module, torch.Tensor]:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    network = Small(pooled=(pooled[0], pooled[1], pooled[2])).half().eval()
    with torch.no_grad():
        return torch.export.export(network, (frames,)).module(), frames


def test_a_stem_of_two_neighbours_at_once_is_no_tile_for_what_follows() -> None:
    """Its tile is twice as wide. The whole network was left to PyTorch: "too many values to unpack"."""
    module, frames = small(16, 0, 0)
    found = steps_of_graph(module)
    assert [step.kind for step in found.steps if isinstance(step, LayerStep)] == ["pairs", "pointwise"]
    assert {len(run) for run in layers_by_run(found)} == {1}
    with torch.no_grad():
        answer = graph_of_steps(module, found, lambda layer: TILE)(frames)
        torch.testing.assert_close(answer, module(frames), atol=0.02, rtol=0)


def test_a_pool_of_channels_that_do_not_load_well_is_left_as_it_is() -> None:
    """The kernel promises the compiler that each load begins at a multiple of 8 values."""
    assert [count(steps_of_graph(small(*pooled)[0]).steps, PoolsStep) for pooled in ((4, 8, 12), (8, 8, 8))] == [0, 1]


def test_siblings_become_one_layer_and_the_answer_stays() -> None:
    module, frames = traced("demo")
    found = steps_of_graph(module)
    before = count(found.steps, LayerStep)
    join_siblings(found)
    assert count(found.steps, LayerStep) == before - 5
    names = [name for step in found.steps if isinstance(step, LayerStep) for name in step.stages[0].names]
    assert len(names) == len(set(names)) == before
    with torch.no_grad():
        answer = graph_of_steps(module, found, lambda layer: TILE)(frames)
        torch.testing.assert_close(answer[..., 4], module(frames)[..., 4], atol=0.02, rtol=0)


def test_longest_chains_become_one_layer_each_and_the_answer_stays() -> None:
    module, frames = traced("demo")
    found = steps_of_graph(module)
    join_siblings(found)
    groups: list[tuple[int, ...]] = []
    for chain in chains(found):
        left = chain.places
        while left:
            length = next(n for n in (3, 2, 1) if len(left) >= n and joined_places(found, left[:n]) is not None)
            groups.append(left[:length])
            left = left[length:]
    places = [place for group in groups for place in group]
    assert len(places) == len(set(places)) == count(found.steps, LayerStep)
    join_chains(found, groups)
    asked: list[Layer] = []

    def choose(layer: Layer) -> Tile:
        asked.append(layer)
        return TILE

    lean = graph_of_steps(module, found, choose)
    assert len(asked) == 53
    assert max(len(layer.stages) for layer in asked) == 3
    assert any(not stage.stored for layer in asked for stage in layer.stages)
    assert any(stage.stored for layer in asked for stage in layer.stages[:-1])
    with torch.no_grad():
        torch.testing.assert_close(lean(frames)[..., 4], module(frames)[..., 4], atol=0.02, rtol=0)
