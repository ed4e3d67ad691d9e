"""What the race's screen says in words at each moment: the clock and the rules, the lead, at last the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from photofinish.client.ui.page.screen.figures import significant
from photofinish.client.ui.race.replay import NS_PER_S, Race
from photofinish.client.ui.words import PageWords

RacePhase = Literal["set", "running", "won", "done"]
"""set: before the start. running: nobody is there. won: one side is. done: both are."""
_TIMES = "\N{MULTIPLICATION SIGN}"
_DASH = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceHeadline:
    """figure: the clock, at last the ratio. title: what happens, at last the result. lines: what it rests on."""

    figure: str
    title: str
    lines: tuple[str, ...]


def race_phase(race: Race, now_ns: int) -> RacePhase:
    """Where the race is. now_ns: since the start, negative before it."""
    if now_ns < 0:
        return "set"
    if now_ns < race.won_ns:
        return "running"
    return "won" if now_ns < race.duration_ns else "done"


def headline(race: Race, phase: RacePhase, now_ns: int, say: PageWords) -> RaceHeadline:
    """The words of that moment."""
    if phase == "done":
        return _result(race, say)
    clock = say("race.seconds", seconds=f"{max(now_ns, 0) / NS_PER_S:.1f}")
    if phase == "won":
        names = {"winner": say(f"race.won_{race.winner}"), "loser": say(f"race.in_{race.loser}")}
        title = say("race.leads", **names, done=race.done(race.loser, now_ns), finish=race.finish)
    else:
        title = say("race.first_to_one" if race.finish == 1 else "race.first_to", finish=race.finish)
    return RaceHeadline(figure=clock, title=title, lines=(say("race.rules"), say("race.rules_alone")))


def seconds_text(time_ns: int) -> str:
    """`0.97`, `9.99`, `12.3`: seconds as a stopwatch shows them."""
    seconds = time_ns / NS_PER_S
    return f"{seconds:.2f}" if seconds < 9.995 else f"{seconds:.1f}"


def _result(race: Race, say: PageWords) -> RaceHeadline:
    claim = race.claim
    if claim.is_void:
        return RaceHeadline(figure=_DASH, title=say("race.void"), lines=tuple(claim.doubts.get(say.language, ())[:1]))
    ratio = f"{significant(claim.ratio)}{_TIMES}"
    told = [say("race.times", ratio=ratio)]
    if claim.low is not None and claim.high is not None:
        ends = {"low": significant(claim.low), "high": significant(claim.high)}
        told.append(say("race.interval", **ends))
    title = _won_by(race, say) if claim.shows_difference else say("race.no_difference")
    return RaceHeadline(figure=ratio, title=title, lines=(" · ".join(told), agreement_text(race, say)))


def _won_by(race: Race, say: PageWords) -> str:
    if not race.gap_ns:
        return say("race.tie")
    key = "race.ahead_one" if race.gap_frames == 1 else "race.ahead"
    return say(key, winner=say(f"race.won_{race.winner}"), gap=seconds_text(race.gap_ns), frames=race.gap_frames)


def agreement_text(race: Race, say: PageWords) -> str:
    """Whether both found the same objects, over all pictures of the race."""
    pictures = min(race.finish, len(race.pictures.images))
    same, everything = race.pictures.shared_in(race.finish)
    key = "race.same_none" if not everything else "race.same_all" if same == everything else "race.same_part"
    return say(key, same=same, all=everything, pictures=pictures)
