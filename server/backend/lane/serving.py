"""A model served over the lane: opened, described to the bridge, and one execution answered after the other."""

from __future__ import annotations

from typing import NoReturn

from ..batches import check_outputs, run_each
from ..engine import Engine, open_model
from ..memory import memory_figures
from ..model import DTYPES, ConfiguredModel
from .end import LaneEnd
from .regions import open_guard


def open_lane(arguments: dict[str, str], memory_file: int) -> tuple[LaneEnd, ConfiguredModel, Engine]:
    """The lane, the model and its engine, loaded and checked. Raises RefusedModelError."""
    model, engine = open_model(arguments)
    check_outputs(model, engine.run_arrays)
    batch = engine.batch
    # Last, so that no library takes its place as the handler of SIGBUS.
    guard = open_guard(arguments["guard_library"])
    if batch is None:
        return LaneEnd(memory_file, model, guard=guard), model, engine
    addresses = batch.input_addresses
    lane = LaneEnd(memory_file, model, batch_addresses=addresses, on_unmap=batch.forget_pages, guard=guard)
    batch.lock_pages(lane.address, lane.sizes.total)
    return lane, model, engine


def describe(lane: LaneEnd, model: ConfiguredModel, engine: Engine, *, reads_regions: bool) -> list[str]:
    """The lines that tell the bridge about tensors, memory and figures."""
    numbers = {dtype: number for number, dtype in enumerate(DTYPES.values(), start=1)}
    shared = engine.batch.shared_inputs() if engine.batch is not None else [("", 0)] * len(model.inputs)
    sizes = lane.sizes
    flags = f"{int(model.max_batch_size > 0)}\t{int(reads_regions and lane.is_guarded)}"
    lines = [f"memory\t{sizes.total}\t{sizes.staging_offset}\t{sizes.staging}\t{flags}"]
    for io, (handle, offset) in zip(model.inputs, shared, strict=True):
        lines.append(f"input\t{io.name}\t{numbers[io.dtype]}\t{handle}\t{offset}")
    lines += [f"output\t{io.name}\t{numbers[io.dtype]}" for io in model.outputs]
    for figure in memory_figures(model, engine.gpu_bytes):
        lines.append(f"gauge\t{figure.metric}\t{figure.text}\t{figure.device}\t{figure.byte_size}")
    return lines


def serve(lane: LaneEnd, model: ConfiguredModel, engine: Engine) -> NoReturn:
    """Answer one execution after the other, for as long as the process lives."""
    run, times = engine.run, engine.times
    while True:
        parts = lane.wait()
        good = [part for part in parts if not isinstance(part, Exception)]
        outcomes = run_each(good, model, run)
        if times is not None:
            lane.report_copies(times.latest_ns.get("input", 0), times.latest_ns.get("output", 0))
        if len(good) < len(parts):
            following = iter(outcomes)
            outcomes = [part if isinstance(part, Exception) else next(following) for part in parts]
        lane.answer(outcomes)
