"""What the first screen of a report says: the claim, bars, tiles, and whether to believe it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from photofinish.perf.formatting import (
    MISSING,
    VoidText,
    mebibytes,
    milliseconds,
    number,
    signed,
    signed_percent,
    times,
)
from photofinish.perf.judge.claims import Claim, is_same_data
from photofinish.perf.judge.findings import Findings, SectionFindings
from photofinish.perf.judge.summary import ArmSummary
from photofinish.perf.judge.verdict import PartVerdict
from photofinish.perf.record.record import Arm, Record
from photofinish.perf.report.gains import claim_text
from photofinish.perf.report.words import Words

MAX_TILES = 4
Tone = Literal["good", "partly", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLine:
    """One ratio: against what, `P50 9.83 → 1.23 ms`, `7.99×`, `[7.90, 8.08]`. Void: nothing is claimed."""

    against: str = ""
    said: str
    gain: str = ""
    span: str = ""
    is_void: bool = False

    @property
    def text(self) -> str:
        """The whole sentence."""
        figure = " ".join(filter(None, (self.gain, self.span)))
        return f"{self.against}{self.said}{figure}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One side's median. share: of the longest bar. is_ours: of the side that is praised."""

    name: str
    how: str
    value: str
    share: float
    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureTile:
    """One figure before and after, and what changed; an empty change is left out."""

    name: str
    before: str
    after: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstScreen:
    """All of it, in words. compared, machine: what was measured and on what. trust: whether to believe it, and why."""

    lines: tuple[ClaimLine, ...]
    compared: str
    machine: str
    bars: tuple[Bar, ...]
    tiles: tuple[FigureTile, ...]
    pill: str
    tone: Tone
    trust: str

    @property
    def is_void(self) -> bool:
        """Whether the first line, whose figures bars and tiles show, claims nothing: then they are grey."""
        return any(line.is_void for line in self.lines[:1])


def first_screen(findings: Findings, say: Words) -> FirstScreen:
    """What a reader sees first. Without a comparison there are no lines, bars and tiles."""
    record, primary, verdict = findings.record, findings.primary, findings.verdict
    sides = primary.summaries[:2] if primary is not None and len(primary.summaries) >= 2 else ()
    contrasts = list(_contrasts(findings, say)) if sides else []
    tone: Tone = "good" if verdict.standing == "VALID" else "partly" if verdict.standing == "PARTLY" else "bad"
    if verdict.outcome == "FAIL" or (findings.headline and findings.headline.reasons):
        tone = "bad"
    return FirstScreen(
        lines=tuple(line for line, _ in contrasts),
        compared=_compared(record, primary, say),
        machine=machine_text(record, say),
        bars=_bars([*sides[:1], *(item for _, item in contrasts if item is not None), *sides[1:]], say),
        tiles=tuple(_tiles(primary, *sides, say))[:MAX_TILES] if primary is not None and len(sides) == 2 else (),
        pill=say.comma.join(say(key) for key in (verdict.standing, verdict.outcome) if key),
        tone=tone,
        trust=_trust(findings, say),
    )


def machine_text(record: Record, say: Words) -> str:
    """GPU or CPU, cores, server."""
    environment = record.environment
    names = [str(gpu.get("name")) for gpu in environment.get("gpus") or []]
    parts = [f"{len(names)} × {names[0]}" if len(names) > 1 else names[0]] if names else []
    parts.append(f"{environment.get('cpu', '?')}{say.comma}{say('cores', cores=environment.get('cpu_cores', '?'))}")
    if server := environment.get("server"):
        known, kind = str(server.get("kind", "?")), say.named("server", str(server.get("kind", "?")))
        is_triton = known.startswith(("embedded", "external"))
        parts.append(f"Triton {server.get('version', '?')} ({kind})" if is_triton else kind)
    return " · ".join(parts)


def side_text(arm: Arm, say: Words) -> tuple[str, str]:
    """What computes an arm, and how it is asked: `ONNX Runtime FP16`, `uint8 frames over shared memory`."""
    engine = "aoti" if "_aoti_" in f"{arm.model}_" else arm.backend
    name = f"{say.named('engine', engine)} {arm.precision.upper()}".strip()
    over = say.named("over", arm.transport)
    how = say("sent", contract=say.named("sent", arm.contract), transport=over) if arm.contract and over else over
    guide = say("as_tutorials") if (arm.role, arm.contract) == ("baseline", "tensor") else ""
    shape = "" if arm.input_wh[0] == arm.input_wh[1] else "{} × {}".format(*arm.input_wh)
    return name or say.arm(arm), say.comma.join(filter(None, (how, shape, guide)))


def _contrasts(findings: Findings, say: Words) -> Iterator[tuple[ClaimLine, ArmSummary | None]]:
    """Each ratio, and the side that it is against where that is not the baseline."""
    primary, plain = findings.primary, _plain(findings)
    assert primary is not None
    lead = say("against_tutorial") if plain else ""
    yield _line(primary, findings.headline, lead, say), None
    if plain:
        found, claim = plain
        side = next(item for item in found.summaries if claim.against and item.arm.key == claim.against.key)
        yield _line(found, claim, say("against_plain"), say), side


def _plain(findings: Findings) -> tuple[SectionFindings, Claim] | None:
    """Plain PyTorch without a server against our optimised side, where both were measured."""
    if findings.rivals is None:
        return None
    claims = [item for item in findings.rivals.claims if item.against and item.against.key == "plain"]
    medians, rates = ([item for item in claims if item.figure == figure] for figure in ("p50", "frames_per_s"))
    # Where the median is known too loosely the rate may still be known well enough.
    chosen = next((item for item in (*medians, *rates) if not item.reasons), medians[0] if medians else None)
    return (findings.rivals, chosen) if chosen is not None else None


def _line(found: SectionFindings, claim: Claim | None, against: str, say: Words) -> ClaimLine:
    if claim is None or claim.value is None or claim.arm is None or claim.against is None:
        return ClaimLine(against=against, said=say("headline_unmeasured"), is_void=True)
    if claim.reasons:
        return ClaimLine(against=against, said=say("headline_invalid"), is_void=True)
    by_key = {item.arm.key: item for item in found.summaries}
    sides = [by_key[arm.key] for arm in (claim.against, claim.arm)]
    span = f"[{number(claim.interval.low)}, {number(claim.interval.high)}]" if claim.interval else ""
    if claim.figure == "frames_per_s":
        before, after = (number(item.frames_per_s) for item in sides)
        said = say("headline_from_to_fps", before=before, after=after)
    else:
        before, after = (milliseconds(item.latency["p50"]) for item in sides)
        said = say("headline_from_to", before=before, after=after)
    if not claim.shows_difference:
        return ClaimLine(against=against, said=said, gain=say("no_difference"), span=span)
    key = "headline_gain" if claim.value > 1 else "headline_loss"
    gain = say(key, gain=number(claim.value), inverse=number(1 / claim.value))
    if claim.value < 1 and claim.interval:
        span = f"[{number(1 / claim.interval.high)}, {number(1 / claim.interval.low)}]"
    return ClaimLine(against=against, said=said, gain=gain, span=span)


def _compared(record: Record, primary: SectionFindings | None, say: Words) -> str:
    arms = primary.section.arms if primary is not None else [arm for item in record.sections for arm in item.arms]
    network = say.network or say.comma.join(dict.fromkeys(arm.model for arm in arms if arm.model))
    weights = say.comma.join(dict.fromkeys(arm.weights for arm in arms if arm.weights))
    size = "{} × {}".format(*arms[0].input_wh) if arms and arms[0].input_wh[0] else ""
    model = say.comma.join(filter(None, (f"{network} ({weights})" if weights else network, size)))
    source, frames = record.source, ""
    if source.get("name"):
        wh = (source.get("width", "?"), source.get("height", "?"))
        frames = say("frames_of", name=say.named("source", str(source["name"])), size="{} × {}".format(*wh))
        frames += say("one_picture") if source.get("pictures") == 1 else ""
    way = say("way_frame") if primary is not None else ""
    untrained = say("untrained_speed_only") if any(arm.untrained for arm in arms) else ""
    return " · ".join(filter(None, (model, untrained, frames, way)))


def _bars(sides: list[ArmSummary], say: Words) -> tuple[Bar, ...]:
    medians = [item.latency["p50"] for item in sides]
    longest = max((value for value in medians if value), default=0.0)
    bars = []
    for item, median in zip(sides, medians, strict=True):
        if median is None:
            return ()
        name, how = side_text(item.arm, say)
        key = "plain" if item.arm.key == "plain" else "baseline" if item is sides[0] else "optimised"
        value = f"{milliseconds(median)} {say('unit_ms')}"
        if key == "plain":
            full, how = say.arm(item.arm), say("own_rounds", engine=name)
            full = full[0].upper() + full[1:]
        else:
            full = f"{say(key)}{say.colon}{name}"
        bars.append(Bar(name=full, how=how, value=value, share=median / longest, is_ours=item is sides[-1]))
    return tuple(bars)


def _tiles(found: SectionFindings, before: ArmSummary, after: ArmSummary, say: Words) -> Iterator[FigureTile]:
    """The figures that both sides have, the most asked for first."""

    def tile(key: str, old: str, new: str, change: str) -> FigureTile:
        return FigureTile(name=say(key), before=old, after=new, change="" if change == MISSING else change)

    def gain(key: str) -> str:
        return claim_text(found.gain(after.arm, key), say)

    def judged(change: str, key: str) -> str:
        claim = found.gain(after.arm, key)
        return VoidText(f"({change})") if claim is not None and claim.reasons else change

    yield tile("row_fps", number(before.frames_per_s), number(after.frames_per_s), gain("frames_per_s"))
    p95, p99 = ([milliseconds(item.latency[key]) for item in (before, after)] for key in ("p95", "p99"))
    if MISSING not in p95:
        yield tile("row_p95", p95[0], p95[1], gain("p95"))
    if before.gpu_memory_bytes and after.gpu_memory_bytes:
        sizes = [mebibytes(item.gpu_memory_bytes) for item in (before, after)]
        change = signed_percent(after.gpu_memory_bytes / before.gpu_memory_bytes)
        yield tile("row_gpu_memory", sizes[0], sizes[1], judged(change, "gpu_memory"))
    maps = [item.arm.accuracy.get("map50_95") for item in (before, after)]
    if None not in maps and is_same_data(before.arm, after.arm):
        old, new = (round(float(value), 4) for value in maps if value is not None)
        yield tile("row_accuracy", f"{old:.4f}", f"{new:.4f}", judged(signed(new - old, decimals=4), "map50_95"))
    joules = [item.images_per_joule for item in (before, after)]
    if joules[0] and joules[1]:
        ratio = judged(times(joules[1] / joules[0]), "frames_per_s")
        yield tile("row_joule", number(joules[0]), number(joules[1]), ratio)
    if MISSING not in p99:
        yield tile("row_p99", p99[0], p99[1], gain("p99"))


def _trust(findings: Findings, say: Words) -> str:
    """One sentence: nothing was found against it, what of it is not valid, or why nothing may be quoted."""
    verdict, primary, claim = findings.verdict, findings.primary, findings.headline
    if verdict.standing != "INVALID" and not (claim and claim.reasons):
        void = [_void_text(part, say) for part in verdict.parts if part.reasons]
        if void:
            return say("trust_partly", void=say.comma.join(dict.fromkeys(void)))
        if primary is None or claim is None or len(primary.summaries) < 2:
            return say("valid_note")
        rounds = len(primary.summaries[1].blocks)
        counts = [item.requests for item in primary.summaries[:2]]
        return say("trust_valid", rounds=rounds, before=counts[0], after=counts[1])
    reasons = (claim.reasons if claim else ()) or verdict.reasons
    if not reasons:
        return say("headline_unmeasured" if verdict.standing == "INVALID" else "valid_note")
    return say("trust_void" if verdict.standing == "INVALID" else "trust_gain_void", reason=say.reason(reasons[0]))


def _void_text(part: PartVerdict, say: Words) -> str:
    """A section, and which arms or figures of it are not valid where not all are."""
    section = say.section(part.section)
    if all(claim.reasons or not claim.is_timed for claim in part.claims):
        return section
    wrong = [claim for claim in part.claims if claim.reasons]
    if part.section.kind != "comparison":
        named = [say.arm_of_claim(claim) or say.claims([claim]) for claim in wrong]
        return f"{section} ({say.comma.join(dict.fromkeys(named))})"
    return f"{section} ({say.claims(wrong)})"
