"""A record of cameras as its check lists, and what of them does not hold."""

from __future__ import annotations

from pathlib import Path

from photofinish.machine.processes import listed_programs
from photofinish.perf.cameras.checks import checks_from_step, is_void
from photofinish.perf.cameras.walls import MUCH_FOREIGN_CORES
from photofinish.perf.record.cameras import CamerasRecord, CamerasStep, read_cameras_record

CODECS = {"h264": "H.264", "hevc": "H.265"}


def head_line(record: CamerasRecord) -> str:
    """What was measured with: the model, what each stream sends, how much of it is inferred."""
    stream, (width, height) = record.stream, record.stream["size_wh"]
    codec = CODECS.get(str(stream.get("codec")), str(stream.get("codec")))
    parts = [f"{width}x{height} {codec}, {stream['frames_per_s']:g} fps"]
    if "bits_per_s" in stream:
        parts.append(f"{stream['bits_per_s'] / 1000:g} kbit/s, a keyframe every {stream['keyframe_every_s']:g} s")
    source = str(stream.get("source", "synthetic"))
    parts.append("synthetic camera" if source == "synthetic" else source)
    return f"{record.variant}; streams made here: {', '.join(parts)}; {record.wanted_fps:g} fps of each inferred"


def lines_from_step(step: CamerasStep, record: CamerasRecord) -> list[str]:
    """The check list of a step with its heading, and what else was noticed."""
    checks = checks_from_step(step, record)
    cameras, void = "1 camera" if step.cameras == 1 else f"{step.cameras} cameras", ", VOID" if is_void(checks) else ""
    head = f"{cameras} for {step.window_s:.0f} s{void}"
    return ["", head, *(check.text() for check in checks), *(f"  {doubt}" for doubt in doubts_of(step))]


def doubts_of(step: CamerasStep) -> list[str]:
    """What may have shaped the figures besides the cameras."""
    doubts = list(step.notes)
    if not step.is_warm:
        doubts.append(f"not every camera was served when the window began, {step.warm_up_s:.0f} s after the start")
    if step.restarts:
        doubts.append(f"{step.restarts} processes ended by themselves and were started again")
    if (others := step.other_cores) is not None and others > MUCH_FOREIGN_CORES:
        named = listed_programs(step.other_programs) or "many short ones"
        doubts.append(f"other programs used {others:.2f} cores ({named}): these figures are not the machine's alone")
    return doubts


def faults_of(record: CamerasRecord) -> list[str]:
    """Each step that is void, or misses a limit, in a few words."""
    faults = []
    for step in record.steps:
        checks = checks_from_step(step, record)
        missed = [check.name for check in checks if check.outcome == "missed"]
        if is_void(checks):
            faults.append(f"{step.cameras} cameras: void, the generator was late")
        elif missed:
            faults.append(f"{step.cameras} cameras: {', '.join(missed)}")
    return faults


def lines_from_file(path: Path) -> list[str]:
    """All check lists of a record, as `photofinish perf report` prints them. Raises ConfigError."""
    record = read_cameras_record(path)
    cut_off = "" if record.is_complete else "; the run was cut off"
    return [
        f"{record.created_utc}: {head_line(record)}{cut_off}",
        *(line for step in record.steps for line in lines_from_step(step, record)),
    ]
