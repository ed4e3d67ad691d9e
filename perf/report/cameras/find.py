"""A search for the most cameras as a check list, for a terminal, in Markdown and as a page."""

from __future__ import annotations

from html import escape
from pathlib import Path

from photofinish.client.cameras.supervise.tables import WAYS, aligned
from photofinish.perf.cameras.checks import MARKS, CheckLine, Outcome, decoded_words
from photofinish.perf.cameras.finding import FindResult, JudgedProbe, plan_of, result_of, window_s
from photofinish.perf.cameras.goal import ProbeOutcome
from photofinish.perf.cameras.lists import doubts_of
from photofinish.perf.cameras.search import above_of
from photofinish.perf.formatting import number
from photofinish.perf.record.find import FindRecord, Purpose, read_find_record
from photofinish.perf.record.record import write_whole
from photofinish.perf.report.page.style import REPORT
from photofinish.perf.report.tables import Table
from photofinish.perf.report.text import markdown_table

PURPOSES: dict[Purpose, str] = {
    "search": "search",
    "confirm": "confirmation",
    "above": "a tenth more",
    "keyframes": "all keyframes at once",
    "reconnects": "a fifth cut every 30 s",
}
HEADS = {"gpu": "GPU", "cpu": "CPU", "pool": "keyframes"}
"""Of the columns that say how many cameras were decoded which way."""
OUTCOMES: dict[ProbeOutcome, Outcome] = {"held": "met", "missed": "missed", "void": "unknown"}


def find_text(record: FindRecord) -> str:
    """For a terminal: what was found, the check list, every step."""
    result = result_of(record)
    lines = [headline(record, result), asked_line(record), "", *(check.text() for check in find_checks(record, result))]
    head, rows = steps_table(result)
    return "\n".join([*lines, *(f"  {doubt}" for doubt in _doubts(result)), "", *aligned([head, *rows])])


def find_markdown(record: FindRecord) -> str:
    """For a page."""
    result = result_of(record)
    checks = [f"- {MARKS[check.outcome]} **{check.name}**: {_said(check)}" for check in find_checks(record, result)]
    doubts = [f"- {doubt}" for doubt in _doubts(result)]
    parts = [f"# {headline(record, result)}", asked_line(record), machine_line(record), "\n".join([*checks, *doubts])]
    return "\n\n".join([*parts, markdown_table(*steps_table(result)), f"```\n{record.command}\n```"]) + "\n"


def find_html(record: FindRecord) -> str:
    """As one page: no script, nothing loaded from elsewhere."""
    result = result_of(record)
    checks = "\n".join(
        f"<tr><td>{MARKS[check.outcome]}</td><td>{escape(check.name)}</td><td>{escape(_said(check))}</td></tr>"
        for check in find_checks(record, result)
    )
    head, rows = steps_table(result)
    cells = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    title, doubts = headline(record, result), "".join(f"<p>{escape(doubt)}</p>" for doubt in _doubts(result))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{REPORT}
.checks td {{ text-align: left; white-space: normal; vertical-align: top; padding-left: 10px; }}
.steps td:last-child {{ white-space: normal; text-align: left; min-width: 220px; }}
.checks td:nth-child(2) {{ white-space: nowrap; font-weight: 600; }}
</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">Photofinish · {escape(record.created_utc[:10])}</p>
<h1 class="claim two">{escape(title)}</h1>
<p>{escape(asked_line(record))}</p>
<p>{escape(machine_line(record))}</p>
</header>
<div class="scroll"><table class="checks"><tbody>
{checks}
</tbody></table></div>
{doubts}
<h2>Every step</h2>
<div class="scroll"><table class="steps"><thead><tr>{heads}</tr></thead><tbody>
{cells}
</tbody></table></div>
<h2>To repeat it</h2>
<pre>{escape(record.command)}</pre>
</main>
</body>
</html>
"""


def write_find_reports(record: FindRecord, json_path: Path) -> tuple[Path, ...]:
    """The `.md` and `.html` beside the record. Raises ConfigError when they cannot be written."""
    stem = json_path.name.removesuffix(".gz").removesuffix(".json")
    texts = {f"{stem}.md": find_markdown(record), f"{stem}.html": find_html(record)}
    for name, text in texts.items():
        write_whole(text, json_path.with_name(name))
    return tuple(json_path.with_name(name) for name in texts)


def text_of_file(path: Path, json_path: Path) -> str:
    """A record's text for a terminal; `.md` and `.html` are written beside `json_path`. Raises ConfigError."""
    record = read_find_record(path)
    paths = write_find_reports(record, json_path)
    return "\n".join([find_text(record), "", *map(str, paths)])


def headline(record: FindRecord, result: FindResult) -> str:
    """What was found, in a line."""
    ended, plan = result.ended, plan_of(record)
    if ended is None:
        most = max((item.cameras for item in result.judged if item.verdict.outcome == "held"), default=0)
        return f"Not finished: {counted(most)} held a probe so far; the same command goes on"
    if ended.ending == "found":
        return f"{counted(ended.cameras)}, and {above_of(ended.cameras, plan)} are too many"
    if ended.ending == "at_least":
        return f"At least {counted(ended.cameras)}: nothing has shown that more are too many"
    if ended.ending == "none" and all(item.verdict.outcome == "void" for item in result.judged):
        return "Nothing can be said of this machine: every step was void"
    if ended.ending == "none":
        return "Not one camera holds the goal"
    if result.confirmation is not None and result.confirmation.verdict.outcome == "void":
        return f"Nothing confirmed: {counted(ended.cameras)} held a short probe, and the long one was void"
    return f"Nothing confirmed: {counted(ended.cameras)} held a short probe, and no long one"


def counted(cameras: int) -> str:
    """`1 camera`, `2 cameras`."""
    return f"{cameras} camera{'' if cameras == 1 else 's'}"


def asked_line(record: FindRecord) -> str:
    """What every camera sends, and what it must hold."""
    (width, height), stream, goal = record.stream["size_wh"], record.stream, record.goal
    sends = f"{width} x {height} {stream['codec']} at {stream['frames_per_s']:g} frames/s"
    holds = f"P99 of each at most {goal['p99_ms']:g} ms from capture, at most {100 * goal['max_drops']:g} % dropped"
    gpu = ", all decoded by sessions of a GPU" if goal.get("min_gpu_decode") else ""
    return f"Each sends {sends}, {record.wanted_fps:g} of them inferred by {record.variant}; {holds}{gpu}."


def machine_line(record: FindRecord) -> str:
    """Where it was measured."""
    machine, gpus = record.environment, record.environment.get("gpus") or []
    named = ", ".join(str(gpu.get("name")) for gpu in gpus) or "no GPU"
    if len(record.gpus) > 1 or len(gpus) > len(record.gpus) > 0:
        named += f", of which GPU {' and '.join(map(str, record.gpus))} infer{'s' if len(record.gpus) == 1 else ''}"
    return f"{named}; {machine.get('cpu', '?')}, {machine.get('cpu_cores', '?')} cores; streams and server on one host."


def find_checks(record: FindRecord, result: FindResult) -> list[CheckLine]:
    """Found, confirmed, bounded; the wall; the hard runs; the generator."""
    ended = result.ended
    cameras = ended.cameras if ended and ended.ending in ("found", "at_least") else 0
    outcome: Outcome = "unknown" if ended is None else "met" if cameras else "missed"
    figure = str(cameras) if cameras else "none" if ended else "not finished"
    lines = [CheckLine(name="cameras", outcome=outcome, figure=figure)]
    lines.append(_long(result))
    if result.above is not None:
        has_missed = result.above.verdict.outcome == "missed"
        rest = "; ".join(result.above.verdict.reasons) or "it held as well"
        bounded: Outcome = "met" if has_missed else "unknown"
        lines.append(
            CheckLine(name="a tenth more misses", outcome=bounded, figure=f"{result.above.cameras}", rest=rest)
        )
    if result.confirmation is not None and (found := result.confirmation.probe.step.decoded):
        is_all = found.get("gpu", 0) >= record.goal.get("min_gpu_decode", 0.0) * result.confirmation.cameras
        decoded: Outcome = "met" if is_all else "missed"
        lines.append(CheckLine(name="decode", outcome=decoded, figure=decoded_words(found)))
    if result.wall is not None:
        figure = f"{result.wall.name}, at {counted(result.wall_cameras)}"
        lines.append(CheckLine(name="first wall", outcome="met", figure=figure, rest=result.wall.why))
    lines += _of_each_gpu(result)
    lines += [_hard(item, record) for item in result.hard]
    voids = [item for item in result.judged if item.verdict.outcome == "void"]
    if voids:
        rest = "; ".join(dict.fromkeys(reason for item in voids for reason in item.verdict.reasons))
        lines.append(CheckLine(name="void steps", outcome="unknown", figure=str(len(voids)), rest=rest))
    return lines


def _of_each_gpu(result: FindResult) -> list[CheckLine]:
    """Of several GPUs: the cameras of each at the number found, and its wall where more were too many."""
    lines = []
    for share in result.shares:
        outcome = OUTCOMES[share.verdict.outcome]
        lines.append(CheckLine(name=f"GPU {share.gpu}", outcome=outcome, figure=share.figure, rest=share.words()))
    for share in result.walls:
        name = f"GPU {share.gpu}, too many"
        figure = f"{share.figure}, which it held" if share.wall is None else f"{share.wall.name}, at {share.figure}"
        lines.append(CheckLine(name=name, outcome="met", figure=figure, rest=share.words()))
    return lines


def _long(result: FindResult) -> CheckLine:
    if result.confirmation is None:
        return CheckLine(name="confirmation", outcome="unknown", figure="not run yet")
    verdict, step = result.confirmation.verdict, result.confirmation.probe.step
    outcome = OUTCOMES[verdict.outcome]
    figure = f"{step.window_s:.0f} s at {result.confirmation.cameras}"
    return CheckLine(name="confirmation", outcome=outcome, figure=figure, rest=_worst(result.confirmation))


def _hard(item: JudgedProbe, record: FindRecord) -> CheckLine:
    outcome = OUTCOMES[item.verdict.outcome]
    apart = f"; those that were cut, {len(item.probe.apart)}, do not count" if item.probe.apart else ""
    figure = f"{window_s(record, item.probe.purpose):.0f} s at {item.cameras}"
    return CheckLine(name=PURPOSES[item.probe.purpose], outcome=outcome, figure=figure, rest=f"{_worst(item)}{apart}")


def _worst(item: JudgedProbe) -> str:
    verdict = item.verdict
    slowest = f"{verdict.slowest}, the slowest, has a P99 of {number(verdict.slowest_p99_ms)} ms"
    drops = f"{verdict.dropping} lost most, {100 * verdict.dropped_share:.2f} %" if verdict.dropped_share else "no drop"
    return "; ".join([*([slowest] if verdict.slowest else []), drops, *verdict.reasons])


def steps_table(result: FindResult) -> Table:
    """A row for each step, in the order they were run."""
    ways = [way for way in WAYS if any(item.probe.step.decoded for item in result.judged)]
    figures_head = ["worst P99 (ms)", "worst drops (%)", "late P99 (ms)"]
    head = ["step", "cameras", "seconds", "outcome", *figures_head, *(HEADS[way] for way in ways), "why"]
    rows = []
    for item in result.judged:
        step, verdict = item.probe.step, item.verdict
        figures = [number(verdict.slowest_p99_ms), f"{100 * verdict.dropped_share:.2f}", number(step.late_p99_ms)]
        figures += [str(step.decoded.get(way, 0)) if step.decoded else "–" for way in ways]
        why = "; ".join(verdict.reasons)
        rows.append(
            [PURPOSES[item.probe.purpose], str(item.cameras), f"{step.window_s:.0f}", verdict.outcome, *figures, why]
        )
    return head, rows


def _said(check: CheckLine) -> str:
    return f"{check.figure}{f' ({check.rest})' if check.rest else ''}"


def _doubts(result: FindResult) -> list[str]:
    """What may have shaped the confirmation besides the cameras; without one, the step that others disturbed most."""
    if result.confirmation is not None:
        return doubts_of(result.confirmation.probe.step)
    steps = sorted((item.probe.step for item in result.judged), key=lambda step: step.other_cores or 0.0)
    return doubts_of(steps[-1]) if steps else []
