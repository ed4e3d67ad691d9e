"""The view's state as the texts that the page shows, in the page's language."""

from __future__ import annotations

from typing import Any

from photofinish.address.hiding import public_address
from photofinish.client.sources.synthetic import is_synthetic
from photofinish.client.ui.page.other_work import SHARE as OTHER_SHARE
from photofinish.client.ui.page.screen.figures import DASH, EARLY_FRAMES, TIMES, machine, times
from photofinish.client.ui.page.screen.sides import cards_of, is_recovering, side_texts
from photofinish.client.ui.page.split_view import ViewState
from photofinish.client.ui.processes.board import WINDOW_FRAMES
from photofinish.client.ui.processes.side import SIDES
from photofinish.client.ui.words import PageWords, translated
from photofinish.machine.processor import usable_cores
from photofinish.model_card import DEMO_WEIGHTS


def screen_from_state(state: ViewState, words: PageWords) -> dict[str, Any]:
    """Everything the page shows, JSON-able: texts, and the plain numbers they were made from under `numbers`."""
    return {
        "model": _model_line(state),
        "machine": machine(state.machine, words),
        "source": _source_line(state, words),
        "footnote": _footnote(state, words),
        "turns": _turns(state, words),
        "warnings": _warnings(state, words),
        "trouble": _whole_trouble(state, words),
        **_ratio_texts(state, words),
        "sides": {side: side_texts(state, side, words) for side in SIDES},
    }


def _ratio_texts(state: ViewState, words: PageWords) -> dict[str, Any]:
    baseline, optimised = (state.sides[side].numbers for side in SIDES)
    fps_ratio = _quotient(optimised.frames_per_s, baseline.frames_per_s)
    p50_ratio = _quotient(baseline.p50_ms, optimised.p50_ms)
    is_mixed, is_disturbed = _is_mixed(state), _is_disturbed(state)
    leading = p50_ratio if state.choice.is_paced else fps_ratio
    latency = p50_ratio and max(p50_ratio, 1 / p50_ratio)
    is_longer = p50_ratio is not None and p50_ratio < 1
    told = times(latency, words, "page.ratio.times" if is_longer else "page.ratio.shorter_times")
    texts = [
        (times(fps_ratio, words), words(f"page.ratio.{'fewer' if fps_ratio and fps_ratio < 1 else 'more'}_fps")),
        (told, words("page.ratio.longer" if is_longer else "page.ratio.shorter")),
    ]
    first, second = texts[::-1] if state.choice.is_paced else texts
    note = ""
    if is_mixed or is_disturbed:
        first, second = (DASH, words("page.ratio.mixed" if is_mixed else "page.ratio.void")), ("", "")
    elif leading is None:
        first, second = (DASH, words("page.ratio.none")), ("", "")
    elif min(baseline.rate_frames, optimised.rate_frames) < EARLY_FRAMES:
        note = words("page.ratio.early", baseline=baseline.rate_frames, optimised=optimised.rate_frames)
    is_void = is_mixed or is_disturbed
    is_won = leading is not None and leading > 1 and not is_void
    numbers = {"fps_ratio": None if is_void else fps_ratio, "p50_ratio": None if is_void else p50_ratio}
    ratio = {
        "first": first[0],
        "first_words": first[1],
        "second": second[0],
        "second_words": second[1],
        "note": note,
        **_plain(state, words, is_void),
        "is_won": is_won,
        "is_void": is_void,
    }
    return {"ratio": ratio, "numbers": numbers}


def _plain(state: ViewState, words: PageWords, is_void: bool) -> dict[str, str]:
    """The gain over plain PyTorch without a server: measured before, or that it was not and what measures it."""
    record = state.record
    if is_void or record is None:
        return {"plain": "", "plain_words": "", "plain_missing": ""}
    if record.plain_ratio is None:
        return {"plain": "", "plain_words": "", "plain_missing": words("page.ratio.plain_missing")}
    said = words("page.ratio.plain", date=record.plain_at)
    return {"plain": times(record.plain_ratio, words), "plain_words": said, "plain_missing": ""}


def _quotient(larger: float | None, smaller: float | None) -> float | None:
    return larger / smaller if larger and smaller else None


def _model_line(state: ViewState) -> str:
    cards = cards_of(state)
    if not cards:
        return ""
    names = " + ".join(dict.fromkeys(card.model for card in cards))
    sizes = dict.fromkeys(f"{card.input_wh[0]}{TIMES}{card.input_wh[1]}" for card in cards)
    return f"{names} · {' / '.join(sizes)}"


def _source_line(state: ViewState, words: PageWords) -> str:
    facts = state.source.facts
    if not facts:
        return public_address(state.choice.source)
    parts = [str(facts["name"]), "{}{}{}".format(facts["size_wh"][0], TIMES, facts["size_wh"][1])]
    if facts["is_reduced"]:
        parts.append(words("page.source.reduced"))
    if not state.choice.is_paced:
        parts.append(words("page.source.free"))
    elif facts["frames_per_s"]:
        parts.append(words("page.source.rate", rate=f"{facts['frames_per_s']:.0f}"))
    return " · ".join(parts)


def _footnote(state: ViewState, words: PageWords) -> str:
    counts_waiting = state.choice.is_paced and not state.takes_turns
    how = words("page.foot.turns" if state.takes_turns else "page.foot.at_once")
    begin = words("page.foot.from_picture" if counts_waiting else "page.foot.from_take", frames=WINDOW_FRAMES)
    return how + ("" if words.language == "zh" else " ") + begin


def _turns(state: ViewState, words: PageWords) -> str:
    """What to say in the middle of the page of how the sides share the cores; "" when they work at once on all."""
    if state.cores_a_side:
        return words("page.core_groups", cores=state.cores_a_side, all=usable_cores())
    if not state.takes_turns:
        return ""
    is_asked_for = any(card.device != "cpu" for card in cards_of(state))
    return words("page.turns_asked" if is_asked_for else "page.turns")


def _is_disturbed(state: ViewState) -> bool:
    """Whether other programs use so much of the processor that no gain is claimed."""
    return state.other_cores is not None and state.other_cores > OTHER_SHARE * usable_cores()


def _is_mixed(state: ViewState) -> bool:
    """Whether the sides run different weights, or the same at another size: both would look like a gain."""
    return len({(card.weights_sha256, max(card.input_wh)) for card in cards_of(state)}) > 1


def _warnings(state: ViewState, words: PageWords) -> list[str]:
    warnings = []
    if any(card.untrained for card in cards_of(state)):
        warnings.append(words("page.warning.untrained"))
    if any(card.weights == DEMO_WEIGHTS for card in cards_of(state)) and not is_synthetic(state.choice.source):
        warnings.append(words("page.warning.toy"))
    if _is_disturbed(state):
        programs = state.other_programs and words("page.warning.programs", programs=state.other_programs)
        cores = f"{state.other_cores:.1f}"
        warnings.append(words("page.warning.disturbed", cores=cores, all=usable_cores(), programs=programs))
    if _is_mixed(state):
        warnings.append(words("page.warning.mixed"))
    for side in SIDES:
        for notice in state.sides[side].child.facts.get("notices", ()):
            warnings.append(words("page.warning.notice", side=words(f"page.{side}"), notice=notice))
    return warnings


def _whole_trouble(state: ViewState, words: PageWords) -> str:
    """What stands across both panels: a pause, or a source that no waiting brings back; else ""."""
    if state.is_paused:
        return words("page.trouble.paused")
    if is_recovering(state):
        return words("page.trouble.recovering")
    message = translated(state.source.message, words.language)
    return words("page.trouble.final", message=message) if state.source.is_final else ""
