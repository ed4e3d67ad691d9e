"""A model served over the lane: opened, described to the bridge, and one execution answered after the other."""

from __future__ import annotations

import socket
import traceback
from typing import NoReturn

from ..batches import check_outputs, run_each
from ..engine import Engine, open_engine, read_model
from ..gpu_engine import GpuEngine
from ..memory import memory_figures
from ..model import DTYPES, ApartError, ConfiguredModel, RefusedModelError, lane_count
from .account import Account
from .ahead import serve_ahead
from .end import LaneEnd, beside_refused, good_parts
from .process import can_open, send_lines
from .regions import open_guard

Loaded = tuple[LaneEnd, ConfiguredModel, Engine]
"""A model that can be asked."""


def load(
    bridge: socket.socket,
    arguments: dict[str, str],
    memory_file: int,
    *,
    lane_type: type[LaneEnd] = LaneEnd,
    account: Account | None = None,
) -> Loaded | None:
    """The model, loaded and described to the bridge; None where it is refused, which the bridge is told as well.

    account: of the process's memory, where several models share it.
    """
    try:
        model = read_model(arguments)
        if account is not None:
            account.prepare(arguments["model_instance_name"], model)
        engine = open_engine(arguments, model)
        lane = open_lane(arguments, model, engine, memory_file, lane_type)
        reads_regions = can_open(arguments["bridge_descriptor"], memory_file)
        lines = describe(lane, model, engine, reads_regions=reads_regions, account=account)
    except ApartError as exc:
        send_lines(bridge, [f"apart\t{exc}"])
        return None
    except RefusedModelError as exc:
        send_lines(bridge, [f"refused\t{' '.join(str(exc).split())}"])
        return None
    except Exception as exc:  # a library's own class; the user gets the text, the log the stack
        traceback.print_exc()
        send_lines(bridge, [f"refused\t{type(exc).__name__}: {' '.join(str(exc).split())}"])
        return None
    send_lines(bridge, lines)
    return lane, model, engine


def open_lane(
    arguments: dict[str, str], model: ConfiguredModel, engine: Engine, memory_file: int, lane_type: type[LaneEnd]
) -> LaneEnd:
    """The lane to an engine that is loaded, and checked here. Raises RefusedModelError."""
    check_outputs(model, engine.run_arrays)
    slots = 1 if model.is_grouped else lane_count()
    if isinstance(engine, GpuEngine):
        engine.prepare_slots(slots)
    batch = engine.batch
    # Last, so that no library takes its place as the handler of SIGBUS.
    guard = open_guard(arguments["guard_library"])
    if batch is None:
        return lane_type(memory_file, model, slots=slots, guard=guard)
    addresses, unmap = batch.slot_addresses(), batch.forget_pages
    lane = lane_type(memory_file, model, slots=slots, batch_addresses=addresses, on_unmap=unmap, guard=guard)
    batch.lock_pages(lane.address, lane.sizes.total)
    return lane


def describe(
    lane: LaneEnd, model: ConfiguredModel, engine: Engine, *, reads_regions: bool, account: Account | None = None
) -> list[str]:
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
    figures = account.figures(model, engine.gpu_bytes) if account else memory_figures(model, engine.gpu_bytes)
    for figure in figures:
        lines.append(f"gauge\t{figure.metric}\t{figure.text}\t{figure.device}\t{figure.byte_size}")
    return lines


def serve(lane: LaneEnd, model: ConfiguredModel, engine: Engine) -> NoReturn:
    """Answer one execution after the other, for as long as the process lives."""
    if lane.slots > 1 and isinstance(engine, GpuEngine):
        serve_ahead(lane, model, engine)
    run, times = engine.run, engine.times
    while True:
        parts = lane.wait()
        good = good_parts(parts)
        outcomes = beside_refused(parts, run_each(good, model, run, has_gaps=len(good) < len(parts)))
        if times is None:
            lane.answer(outcomes)
        else:
            lane.answer(outcomes, times.latest_ns.get("input", 0), times.latest_ns.get("output", 0))
