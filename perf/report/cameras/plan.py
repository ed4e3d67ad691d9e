"""A plan of cameras as text, Markdown or JSON: a row for each GPU, and where its figures come from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from photofinish.machine.nvdec import DECODER_RATES, DECODER_SOURCE, PIXELS_1080P
from photofinish.perf.cameras.plan import ENGINE_SHARE, CameraNeed, PlanRow
from photofinish.perf.cameras.silicon import (
    DECODER_SHARE,
    ENGINE_BASE,
    ENGINE_MIB,
    SESSION_MIB_720P,
    SESSIONS_MEASURED,
    SESSIONS_PUBLISHED,
    EngineRate,
    Silicon,
    measured_for,
    scaled_share,
)
from photofinish.perf.formatting import number
from photofinish.perf.report.tables import Table
from photofinish.perf.report.text import markdown_table, text_table
from photofinish.perf.report.words import Words

PLAN_KIND = "cameras-plan"
CODEC_NAMES = {"h264": "H.264", "hevc": "H.265", "mjpeg": "MJPEG"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """What was asked, the answer, and the user's own rate where one was given. gpu: the one that is explained."""

    need: CameraNeed
    rows: Sequence[PlanRow]
    own: tuple[Silicon, EngineRate] | None = None
    gpu: Silicon | None = None


def plan_text(plan: CameraPlan, say: Words) -> str:
    """For a terminal."""
    lines = [say("plan_title"), plan_asked(plan, say), "", text_table(*plan_table(plan, say)), ""]
    steps = plan_steps(plan, plan.gpu, say) if plan.gpu else []
    explained = [say("plan_steps", gpu=plan.gpu.name), *(f"  {step}" for step in steps), ""] if plan.gpu else []
    return "\n".join([*lines, *explained, *plan_notes(plan, say)])


def plan_markdown(plan: CameraPlan, say: Words) -> str:
    """For a page."""
    steps = plan_steps(plan, plan.gpu, say) if plan.gpu else []
    notes = [f"- {note}" for note in (*steps, *plan_notes(plan, say))]
    parts = [f"# {say('plan_title')}", plan_asked(plan, say), markdown_table(*plan_table(plan, say)), "\n".join(notes)]
    return "\n\n".join(parts)


def plan_json(plan: CameraPlan) -> str:
    """For a program. fits: whether the cameras that were asked for are carried, None where that is open."""
    rows = [
        {**asdict(row), "basis": "calculated", "fits": row.fits(plan.need.cameras) if plan.need.cameras else None}
        for row in plan.rows
    ]
    document = {
        "kind": PLAN_KIND,
        "need": asdict(plan.need),
        "cpu_cores_a_camera": plan.need.cpu_cores_a_camera,
        "rows": rows,
        "decoder_source": DECODER_SOURCE,
        "decoder_share": DECODER_SHARE,
        "engine_share": ENGINE_SHARE,
    }
    return json.dumps(document, indent=1)


def plan_asked(plan: CameraPlan, say: Words) -> str:
    """What each camera sends, in a line."""
    need = plan.need
    (width, height), codec = need.size_wh, CODEC_NAMES[need.codec]
    values = {"send": f"{need.send_fps:g}", "infer": f"{need.infer_fps:g}"}
    return say("plan_need", width=width, height=height, codec=codec, **values) + say.stop


def plan_table(plan: CameraPlan, say: Words) -> Table:
    """Head and rows; the column of the cameras that were asked for only where some were."""
    cameras = plan.need.cameras
    names = ("gpu", "decoder_fps", "by_decoder", "by_sessions", "by_engine", "by_memory", "carries", "wall")
    head = [say(f"plan_{name}") for name in names]
    asked = [say("plan_asked", cameras=cameras)] if cameras else []
    return [*head, *asked, say("plan_basis")], [_cells(row, plan, say) for row in plan.rows]


def _cells(row: PlanRow, plan: CameraPlan, say: Words) -> list[str]:
    cameras = plan.need.cameras
    engine = f"{'' if row.engine_source == 'measured' else '≥ '}{row.by_engine}"
    carries = f"{'≥ ' if row.is_bound else ''}{row.carries}"
    wall = say(f"plan_wall_{row.wall}", codec=CODEC_NAMES[plan.need.codec])
    fits = row.fits(cameras)
    if fits and row.carries:
        asked = say("plan_fits", share=round(100 * cameras / row.carries))
    else:
        asked = say("plan_unknown" if fits is None else "plan_too_many")
    counts = [str(value) for value in (row.by_decoder, row.by_sessions)]
    figures = [row.gpu, number(row.decoder_fps), *counts, engine, str(row.by_memory), carries, wall]
    return [*figures, *([asked] if cameras else []), say("plan_calculated")]


def plan_steps(plan: CameraPlan, gpu: Silicon, say: Words) -> list[str]:
    """How a GPU's row comes about, a line for each part."""
    need, row = plan.need, next(row for row in plan.rows if row.gpu == gpu.name)
    rates, _ = DECODER_RATES[gpu.decoder.family]
    ratio = number(gpu.decoder.clock_ratio) if gpu.decoder.clock_mhz else ""
    on, rate = plan.own or measured_for(gpu)
    return [
        say(
            "plan_step_decoder",
            engines=gpu.decoder.engines,
            rate=f"{rates.get(need.codec, 0):g}",
            codec=CODEC_NAMES[need.codec],
            clock=say("plan_step_clock", ratio=ratio) if ratio else "",
            pixels=number(PIXELS_1080P / (need.size_wh[0] * need.size_wh[1])),
            share=DECODER_SHARE,
            send=f"{need.send_fps:g}",
            cameras=row.by_decoder,
        ),
        say("plan_step_sessions", cameras=row.by_sessions),
        say(
            "plan_step_engine",
            rate=number(rate.images_per_s),
            gpu=on.name,
            scale="" if on is gpu else _scale(gpu, on, say),
            share=ENGINE_SHARE,
            infer=f"{need.infer_fps:g}",
            cameras=row.by_engine,
        ),
        say(
            "plan_step_memory",
            gib=f"{gpu.memory_gib:g}",
            engine=ENGINE_MIB,
            session=number(SESSION_MIB_720P * need.megapixels),
            cameras=row.by_memory,
        ),
    ]


def _scale(gpu: Silicon, on: Silicon, say: Words) -> str:
    tensor = f"{gpu.tensor_tflops:g} / {on.tensor_tflops:g}"
    memory = f"{gpu.bandwidth_gb_s:g} / {on.bandwidth_gb_s:g}"
    return say("plan_step_scale", ratio=number(scaled_share(on, gpu)), tensor=tensor, memory=memory)


def plan_notes(plan: CameraPlan, say: Words) -> list[str]:
    """That it is calculated, and the source of each column."""
    need, percent = plan.need, round(100 * ENGINE_SHARE)
    measured = [row for row in plan.rows if row.engine_source == "measured"]
    engine = (
        say(
            "plan_note_engine",
            share=percent,
            gpus=say.comma.join(row.gpu for row in measured),
            records=say.comma.join(row.engine_record for row in measured),
            base=ENGINE_BASE,
        )
        if plan.own is None
        else _own_note(plan.own, percent, say)
    )
    cores = number(need.cpu_cores_a_camera * need.cameras)
    every = say("plan_note_cpu_all", cores=cores, cameras=need.cameras) if need.cameras else ""
    return [
        say("plan_note_calculated"),
        say("plan_note_decoder", source=DECODER_SOURCE, share=round(100 * DECODER_SHARE)),
        say("plan_note_sessions", measured=SESSIONS_MEASURED, published=SESSIONS_PUBLISHED),
        engine,
        say("plan_note_cpu", each=number(need.cpu_cores_a_camera), all=every),
    ]


def _own_note(own: tuple[Silicon, EngineRate], percent: int, say: Words) -> str:
    gpu, rate = own
    values = {"rate": number(rate.images_per_s), "gpu": gpu.name, "what": rate.what, "record": rate.record}
    return say("plan_note_own", share=percent, **values)
