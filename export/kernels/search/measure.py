"""The search: which layers are joined and how kernels cut them, measured on this GPU within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from photofinish.export.kernels.graph import joins
from photofinish.export.kernels.graph.emit import layer_of_step
from photofinish.export.kernels.graph.steps import LayerStep, Recognised, read_by
from photofinish.export.kernels.layers.layer import Layer, Tile, representative
from photofinish.export.kernels.search.compile import compile_jobs
from photofinish.export.kernels.search.tiles import tiles_of_layer
from photofinish.export.kernels.search.timing_child import TimingChild
from photofinish.machine.processor import usable_cores

Places = tuple[int, ...]
"""Places of steps that are one kernel."""
UNKNOWN_US = 1e6
"""Of a layer that nothing was measured of: it is left to PyTorch."""


@dataclass(slots=True, kw_only=True)
class Measured:
    """Microseconds by layer and tile, and by PyTorch's operators. All layers are `representative` ones."""

    us: dict[Layer, dict[Tile, float]] = field(default_factory=dict)
    native_us: dict[Layer, float] = field(default_factory=dict)
    faults: list[tuple[Layer, Tile, str]] = field(default_factory=list)

    def best(self, layer: Layer) -> tuple[Tile, float] | None:
        """The fastest tile of a layer and its time; None where none was measured."""
        tiles = self.us.get(representative(layer))
        return min(tiles.items(), key=lambda pair: pair[1]) if tiles else None

    def best_us(self, layer: Layer) -> float:
        """Its time."""
        found = self.best(layer)
        return found[1] if found else UNKNOWN_US


def layers_by_run(found: Recognised) -> dict[Places, Layer]:
    """Every run of a chain that can be one kernel, and the layer that it would be."""
    reads = [read_by(found, step) for step in found.steps]
    runs: dict[Places, Layer] = {}
    for chain in joins.chains(found):
        for start in range(len(chain.places)):
            for length in range(1, joins.MAX_STAGES + 1):
                places = chain.places[start : start + length]
                step = joins.joined_places(found, places) if len(places) == length else None
                if step is not None:
                    later = set().union(*(read for place, read in enumerate(reads) if place not in places))
                    runs[places] = layer_of_step(step, batch=found.batch, read_later=later)
    return runs


def measure(
    layers: Sequence[Layer],
    measured: Measured,
    *,
    tiles_each: int,
    limit_s: float,
    on_progress: Callable[[str], None],
) -> None:
    """Compile and time tiles of the layers that `measured` does not know. limit_s: what is not done then is left."""
    device = torch.cuda.get_device_properties()
    deadline_s = time.monotonic() + limit_s
    new = [layer for layer in dict.fromkeys(map(representative, layers)) if layer not in measured.us]
    jobs = [
        (layer, tile)
        for layer in new
        for tile in tiles_of_layer(layer, multiprocessors=device.multi_processor_count, limit=tiles_each)
    ]

    def compiled(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            on_progress(f"{done} of {total} kernels compiled")

    fates = compile_jobs(
        jobs,
        device.major * 10 + device.minor,
        workers=max(1, usable_cores() - 1),
        deadline_s=deadline_s,
        on_progress=compiled,
    )
    measured.us |= {layer: {} for layer in new}
    with TimingChild() as child:
        for done, (layer, tile) in enumerate(jobs):
            if done % 100 == 0:
                on_progress(f"{done} of {len(jobs)} kernels timed")
            late = time.monotonic() > deadline_s
            answer: float | str = "not in time" if late else fates[layer, tile] or child.us(layer, tile)
            if isinstance(answer, float):
                measured.us[layer][tile] = answer
            else:
                measured.faults.append((layer, tile, answer))
        for layer in new:
            single = len(layer.stages) == 1 and layer.kind != "pairs" and time.monotonic() < deadline_s
            answer = child.native_us(layer) if single else "not asked"
            if isinstance(answer, float):
                measured.native_us[layer] = answer


def best_runs(found: Recognised, runs: dict[Places, Layer], measured: Measured) -> list[Places]:
    """Each chain cut into the runs whose times add up to the least."""
    chosen: list[Places] = []
    for chain in joins.chains(found):
        best: list[tuple[float, list[Places]]] = [(0.0, [])]
        for end in range(1, len(chain.places) + 1):
            cuts = (chain.places[start:end] for start in range(max(0, end - joins.MAX_STAGES), end))
            options = [
                (best[end - len(places)][0] + measured.best_us(runs[places]), [*best[end - len(places)][1], places])
                for places in cuts
                if places in runs
            ]
            best.append(min(options, key=lambda option: option[0]))
        chosen += best[-1][1]
    return chosen


def slower_names(
    found: Recognised, runs: dict[Places, Layer], chosen: Sequence[Places], measured: Measured
) -> set[str]:
    """Names of the convolutions that PyTorch's own operators do faster than the kernels chosen for them."""
    names: set[str] = set()
    for run in chosen:
        alone = [representative(runs[(place,)]) for place in run if (place,) in runs]
        native_us = [measured.native_us.get(layer) for layer in alone]
        known = [us for us in native_us if us is not None]
        if measured.best_us(runs[run]) >= (sum(known) if len(known) == len(run) else UNKNOWN_US):
            for place in run:
                step = found.steps[place]
                assert isinstance(step, LayerStep)
                names |= {name for stage in step.stages for name in stage.names}
    return names
