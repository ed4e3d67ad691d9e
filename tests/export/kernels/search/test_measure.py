from __future__ import annotations

from photofinish.export.kernels.graph.joins import join_siblings
from photofinish.export.kernels.graph.recognise import steps_of_graph
from photofinish.export.kernels.graph.steps import LayerStep
from photofinish.export.kernels.layers.layer import Layer, Tile, representative
from photofinish.export.kernels.search.measure import Measured, best_runs, layers_by_run, slower_names
from tests.export.kernels.graph.test_recognise import count, traced

TILE = Tile(pixels=16, channels=16, depth=16)


def measured(layers: list[Layer], *, single_us: float, joined_us: float) -> Measured:
    return Measured(
        us={
            representative(layer): {TILE: single_us if len(layer.stages) == 1 else joined_us * len(layer.stages)}
            for layer in layers
        }
    )


def test_chains_are_cut_where_the_times_add_up_to_the_least() -> None:
    module, _ = traced("demo")
    found = steps_of_graph(module)
    join_siblings(found)
    runs = layers_by_run(found)
    layers = list(runs.values())
    alone = best_runs(found, runs, measured(layers, single_us=1.0, joined_us=2.0))
    assert {len(run) for run in alone} == {1}
    assert len(alone) == count(found.steps, LayerStep)
    together = best_runs(found, runs, measured(layers, single_us=2.0, joined_us=0.5))
    assert sorted(place for run in together for place in run) == sorted(place for run in alone for place in run)
    assert len(together) == 53


def test_what_pytorch_does_faster_and_what_was_not_measured_is_left_to_it() -> None:
    module, _ = traced("demo")
    found = steps_of_graph(module)
    runs = {run: layer for run, layer in layers_by_run(found).items() if len(run) == 1}
    known = measured(list(runs.values()), single_us=3.0, joined_us=9.0)
    chosen = list(runs)
    assert slower_names(found, runs, chosen, known) == set()
    faster, unknown = representative(runs[chosen[4]]), representative(runs[chosen[9]])
    known.native_us = {layer: 5.0 for layer in known.us} | {faster: 2.0}
    known.us[unknown] = {}
    names = slower_names(found, runs, chosen, known)
    expected = {
        name
        for run in chosen
        if representative(runs[run]) in (faster, unknown)
        for step in [found.steps[run[0]]]
        if isinstance(step, LayerStep)
        for name in step.stages[0].names
    }
    assert names == expected
    assert len(names) >= 2
