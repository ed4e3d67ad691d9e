"""What may be said of a gain in the cell of a table: the figure, that none was shown, or in brackets what is void."""

from __future__ import annotations

from photofinish.perf.formatting import MISSING, RangedText, VoidText, interval_text, signed_ms, times
from photofinish.perf.judge.claims import Claim
from photofinish.perf.judge.findings import SectionFindings, Step
from photofinish.perf.judge.summary import ArmSummary
from photofinish.perf.judge.verdict import PartVerdict
from photofinish.perf.report.words import Words


def gain_text(found: SectionFindings, item: ArmSummary, key: str, say: Words) -> str:
    """What is claimed of an arm against the first one in that figure."""
    return "1×" if item.is_first else claim_text(found.gain(item.arm, key), say)


def claim_text(claim: Claim | None, say: Words) -> str:
    """`2.10× [1.95, 2.24]`; that no difference was shown where the interval holds 1; in brackets what is not valid."""
    if claim is None:
        return MISSING
    if claim.reasons:
        return VoidText(f"({times(claim.value)})")
    if claim.interval is None:
        return times(claim.value)
    if not claim.shows_difference:
        return RangedText(say("no_difference"), claim.interval)
    return interval_text(claim.interval)


def bought_text(step: Step) -> str:
    """The milliseconds that a rung bought, as far as they may be claimed."""
    if step.latency is None or (not step.latency.shows_difference and not step.latency.reasons):
        return MISSING
    said = signed_ms(step.bought_ns)
    return VoidText(f"({said})") if step.latency.reasons else said


def ratio_text(found: SectionFindings, item: ArmSummary, peer: ArmSummary | None) -> str:
    """Throughput against another row of a section that claims no gain; in brackets where the section is not valid."""
    if peer is None or not peer.frames_per_s:
        return MISSING
    said = times(item.frames_per_s / peer.frames_per_s)
    return VoidText(f"({said})") if found.is_void else said


def judged_text(part: PartVerdict, say: Words) -> str:
    """VALID, INVALID, or which of the claims of a part are INVALID."""
    timed = [claim for claim in part.claims if claim.is_timed]
    void = [claim for claim in part.claims if claim.reasons]
    if not void or all(claim.reasons for claim in timed):
        return say(part.validity)
    return f"{say('PARTLY')}{say.colon}{say.claims(void)} {say('INVALID')}"
