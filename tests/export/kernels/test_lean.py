from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
import torch

from photofinish.export.kernels import lean
from photofinish.export.kernels.layers.layer import Layer, representative
from photofinish.export.kernels.search.measure import Measured
from photofinish.export.kernels.search.tiles import tiles_of_layer
from tests.export.kernels.graph.test_recognise import traced


def fake_measure(seed: int) -> Callable[..., None]:
    """Times as they may come, without a GPU: some layers cannot be measured, some are slower than PyTorch."""
    chance = random.Random(seed)

    def measure(layers: Sequence[Layer], measured: Measured, **_: object) -> None:
        for layer in dict.fromkeys(map(representative, layers)):
            tiles = tiles_of_layer(layer, multiprocessors=132, limit=2)
            known = chance.random() < 0.9
            measured.us[layer] = {tile: chance.uniform(2, 6) for tile in tiles} if known else {}
            if len(layer.stages) == 1:
                measured.native_us[layer] = chance.uniform(4, 30)

    return measure


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_chosen_the_answer_stays(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, frames = traced("demo", batch=1)
    monkeypatch.setattr(lean, "measure", fake_measure(seed))
    network, plan = lean.lean_network(module, limit_s=1, on_progress=print)
    with torch.no_grad():
        torch.testing.assert_close(network(frames)[..., 4], module(frames)[..., 4], atol=0.02, rtol=0)
    assert lean.kernel_count(network) == len(plan.layers) + 4
    kept = plan.to_json()
    assert kept["other_kernels"] == {"attention": 2, "pools": 1, "rows": 1}
    assert kept["layers_us"] == pytest.approx(sum(layer["us"] for layer in kept["layers"]), abs=1)
    assert len(plan.left) > 0


def test_without_a_single_measurement_every_convolution_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    module, frames = traced("demo", batch=1)

    def measure(layers: Sequence[Layer], measured: Measured, **_: object) -> None:
        measured.us |= {representative(layer): {} for layer in layers}

    monkeypatch.setattr(lean, "measure", measure)
    network, plan = lean.lean_network(module, limit_s=0, on_progress=print)
    assert plan.layers == []
    with torch.no_grad():
        torch.testing.assert_close(network(frames)[..., 4], module(frames)[..., 4], atol=0.02, rtol=0)
