"""A traced FP16 network with fewer and better kernels: recognised, joined, measured, and made a graph again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule

from photofinish.export.kernels.graph import joins
from photofinish.export.kernels.graph.emit import graph_of_steps
from photofinish.export.kernels.graph.recognise import steps_of_graph
from photofinish.export.kernels.graph.steps import AttentionStep, PoolsStep, RowsStep
from photofinish.export.kernels.layers.layer import Layer, Tile
from photofinish.export.kernels.search.measure import Measured, best_runs, layers_by_run, measure, slower_names

TILES_EACH = 4
"""Tiles tried for a layer: the estimate has the best of many, or one that is 2 % slower, among its first three."""


@dataclass(slots=True, kw_only=True)
class KernelPlan:
    """What the search chose: layers with their tiles and times, and what it left to PyTorch."""

    layers: list[tuple[Layer, Tile, float]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    tried: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    search_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As it is kept beside the packages."""
        return {
            "search_s": round(self.search_s, 1),
            "kernels_tried": self.tried,
            "faults": self.faults,
            "left_to_pytorch": self.left,
            "other_kernels": self.others,
            "layers_us": round(sum(us for _, _, us in self.layers), 1),
            "layers": [{"us": round(us, 2), **asdict(tile), "layer": asdict(layer)} for layer, tile, us in self.layers],
        }


def lean_network(
    module: GraphModule, *, limit_s: float, on_progress: Callable[[str], None], tiles_each: int = TILES_EACH
) -> tuple[GraphModule, KernelPlan]:
    """A module of the same function as the traced one, and its plan. Needs the GPU that it will run on.

    limit_s: for the search; layers that it did not reach are left to PyTorch.
    """
    begun_s = time.monotonic()
    measured = Measured()
    left: set[str] = set()
    while True:
        found = steps_of_graph(module, leave=left)
        joins.join_siblings(found)
        runs = layers_by_run(found)
        if not measured.us:
            measure(list(runs.values()), measured, tiles_each=tiles_each, limit_s=limit_s, on_progress=on_progress)
        chosen = best_runs(found, runs, measured)
        # Without some of them others may be layers that were not measured: those are left, too.
        slower = slower_names(found, runs, chosen, measured)
        if not slower:
            break
        left |= slower
    plan = KernelPlan(left=sorted(left), search_s=time.monotonic() - begun_s)
    plan.tried = sum(len(tiles) for tiles in measured.us.values()) + len(measured.faults)
    for _, _, fault in measured.faults:
        plan.faults[fault[:60]] = plan.faults.get(fault[:60], 0) + 1
    joins.join_chains(found, chosen)
    for step in found.steps:
        if isinstance(step, AttentionStep | PoolsStep | RowsStep):
            name = type(step).__name__.removesuffix("Step").lower()
            plan.others[name] = plan.others.get(name, 0) + 1

    def choose(layer: Layer) -> Tile:
        best = measured.best(layer)
        assert best is not None
        plan.layers.append((layer, *best))
        return best[0]

    return graph_of_steps(module, found, choose), plan


def kernel_count(module: GraphModule) -> int:
    """Steps of a lean network that are kernels of ours."""
    operators = torch.ops.photofinish
    ours = {
        operators.layer.default,
        operators.attention.default,
        operators.pools.default,
        operators.best_rows.default,
    }
    return sum(node.target in ours for node in module.graph.nodes)
