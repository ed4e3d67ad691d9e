from __future__ import annotations

import torch

from photofinish.export.kernels.graph.emit import graph_of_steps
from photofinish.export.kernels.graph.joins import chains, join_chains, join_siblings, joined_places
from photofinish.export.kernels.graph.recognise import steps_of_graph
from photofinish.export.kernels.graph.steps import LayerStep
from photofinish.export.kernels.layers.layer import Layer, Tile
from tests.export.kernels.graph.test_recognise import TILE, count, traced


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
