"""A model served over the lane: opened, described to the bridge, and one execution answered after the other."""

from __future__ import annotations

from typing import NoReturn

from ..batches import check_outputs, run_each
from ..engine import Engine, open_model
from ..gpu_engine import GpuEngine
from ..memory import memory_figures
from ..model import DTYPES, ConfiguredModel, lane_count
from .ahead import serve_ahead
from .end import LaneEnd, beside_refused, good_parts
from .regions import open_guard


def open_lane(arguments: dict[str, str], memory_file: int) -> tuple[LaneEnd, ConfiguredModel, Engine]:
    """The lane, the model and its engine, loaded and checked. Raises RefusedModelError."""
    model, engine = open_model(arguments)
    check_outputs(model, engine.run_arrays)
    slots = lane_count()
    if isinstance(engine, GpuEngine):
        engine.prepare_slots(slots)
    batch = engine.batch
    # Last, so that no library takes its place as the handler of SIGBUS.
    guard = open_guard(arguments["guard_library"])
    if batch is None:
        return LaneEnd(memory_file, model, slots=slots, guard=guard), model, engine
    addresses, unmap = batch.slot_addresses(), batch.forget_pages
    lane = LaneEnd(memory_file, model, slots=slots, batch_addresses=addresses, on_unmap=unmap, guard=guard)
    batch.lock_pages(lane.address, lane.sizes.total)
    return lane, model, engine


def describe(lane: LaneEnd, model: ConfiguredModel, engine: Engine, *, reads_regions: bool) -> list[str]:
    """The lines that tell the bridge about tensors, memory and figures."""
    numbers = {dtype: number for number, dtype in enumerate(DTYPES.values(), start=1)}
    sizes = lane.sizes
    flags = f"{int(model.max_batch_size > 0)}\t{int(reads_regions and lane.is_guarded)}"
    lines = [f"memory\t{sizes.total}\t{sizes.staging_offset}\t{sizes.staging}\t{flags}"]
    lines.append(f"slots\t{lane.slots}\t{sizes.stride}")
    lines += [f"input\t{io.name}\t{numbers[io.dtype]}" for io in model.inputs]
    if engine.batch is not None:
        for slot in range(lane.slots):
            for index, (handle, offset) in enumerate(engine.batch.shared_inputs(slot)):
                lines.append(f"buffer\t{slot}\t{index}\t{handle}\t{offset}")
    lines += [f"output\t{io.name}\t{numbers[io.dtype]}" for io in model.outputs]
    for figure in memory_figures(model, engine.gpu_bytes):
        lines.append(f"gauge\t{figure.metric}\t{figure.text}\t{figure.device}\t{figure.byte_size}")
    return lines


def serve(lane: LaneEnd, model: ConfiguredModel, engine: Engine) -> NoReturn:
    """Answer one execution after the other, for as long as the process lives."""
    if lane.slots > 1 and isinstance(engine, GpuEngine):
        serve_ahead(lane, model, engine)
    run, times = engine.run, engine.times
    while True:
        parts = lane.wait()
        outcomes = beside_refused(parts, run_each(good_parts(parts), model, run))
        if times is None:
            lane.answer(outcomes)
        else:
            lane.answer(outcomes, times.latest_ns.get("input", 0), times.latest_ns.get("output", 0))
