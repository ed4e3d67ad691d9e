"""The view's state as the texts that the page shows."""

from __future__ import annotations

from typing import Any

from photofinish.address.hiding import public_address
from photofinish.client.triton.transport import Transport
from photofinish.client.ui.page.other_work import SHARE as OTHER_SHARE
from photofinish.client.ui.page.split_view import SideState, ViewState
from photofinish.client.ui.processes.board import TAIL_SHARE, TURNS_WINDOW_S, WINDOW_S, SideNumbers
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.machine.processor import usable_cores
from photofinish.model_card import ModelCard
from photofinish.percentiles import min_samples

TURNS = "This machine has no GPU: the sides take turns, rates count each side's own turns."
TURNS_ASKED_FOR = "The sides take turns, rates count each side's own turns."
UNTRAINED = "This model is untrained: its boxes mean nothing. The speed is real."
NO_GAIN = "no gain is shown"
_DASH = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"


def screen_from_state(state: ViewState) -> dict[str, Any]:
    """Everything the page shows, JSON-able: texts, and the plain numbers they were made from under `numbers`."""
    baseline, optimised = state.sides["baseline"], state.sides["optimised"]
    fps_ratio = _ratio(optimised.numbers.frames_per_s, baseline.numbers.frames_per_s)
    p50_ratio = _ratio(baseline.numbers.p50_ms, optimised.numbers.p50_ms)
    texts = [(fps_ratio, "the frames per second"), _latency_words(p50_ratio)]
    leading = p50_ratio if state.choice.is_paced else fps_ratio
    is_void = _is_disturbed(state) or _is_mixed(state)
    is_won = leading is not None and leading > 1 and not is_void
    first, second = texts[::-1] if state.choice.is_paced else texts
    if is_void:
        first, second, fps_ratio, p50_ratio = (None, NO_GAIN), (None, ""), None, None
    return {
        "model": _model_line(state),
        "machine": state.machine,
        "source": _source_line(state),
        "footnote": _footnote(state),
        "turns": _turns(state),
        "warnings": _warnings(state),
        "ratio": {"first": _times(first[0]), "first_words": first[1], "second": _times(second[0]),
                  "second_words": second[1], "is_won": is_won, "is_void": is_void},
        "sides": {side: _side(state, side) for side in SIDES},
        "numbers": {"fps_ratio": fps_ratio, "p50_ratio": p50_ratio},
    }  # fmt: skip


def format_significant(value: float | None) -> str:
    """Three significant digits without an exponent; a dash for None."""
    if value is None:
        return _DASH
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(larger: float | None, smaller: float | None) -> float | None:
    return larger / smaller if larger and smaller else None


def _latency_words(ratio: float | None) -> tuple[float | None, str]:
    """baseline / optimised as a number of at least 1 with the word that fits it."""
    if ratio is not None and ratio < 1:
        return 1 / ratio, "longer P50 latency"
    return ratio, "shorter P50 latency"


def _times(ratio: float | None) -> str:
    if ratio is None:
        return _DASH
    return f"{ratio:.0f}{_TIMES}" if ratio >= 10 else f"{ratio:.1f}{_TIMES}"


def _card(side: SideState) -> ModelCard | None:
    card = side.child.facts.get("card")
    return card if isinstance(card, ModelCard) else None


def _model_line(state: ViewState) -> str:
    cards = [card for side in SIDES if (card := _card(state.sides[side]))]
    if not cards:
        return ""
    names = " and ".join(dict.fromkeys(card.model for card in cards))
    sizes = dict.fromkeys(f"{card.input_wh[0]}{_TIMES}{card.input_wh[1]}" for card in cards)
    return f"{names} · {' and '.join(sizes)}"


def _source_line(state: ViewState) -> str:
    facts = state.source.facts
    if not facts:
        return public_address(state.choice.source)
    parts = [str(facts["name"]), "{}{}{}".format(facts["size_wh"][0], _TIMES, facts["size_wh"][1])]
    if facts["is_reduced"]:
        parts.append("reduced to 2 megapixels")
    if not state.choice.is_paced:
        parts.append("as fast as the faster side takes frames")
    elif facts["frames_per_s"]:
        parts.append(f"{facts['frames_per_s']:.0f} frames per second")
    return " · ".join(parts)


def _footnote(state: ViewState) -> str:
    if state.takes_turns:
        how, window_s = "One side works at a time", TURNS_WINDOW_S
    else:
        how, window_s = "Both sides run at once", WINDOW_S
    counts_waiting = state.choice.is_paced and not state.takes_turns
    begin = "the picture being there" if counts_waiting else "taking a frame up"
    return (
        f"{how} on one server. Last {window_s:.0f} seconds, P95 of at least {min_samples(TAIL_SHARE)} frames; "
        f"latency runs from {begin} to its boxes."
    )


def _turns(state: ViewState) -> str:
    """What to say of turns in the middle of the page; "" when the sides work at once."""
    if not state.takes_turns:
        return ""
    cards = [_card(state.sides[side]) for side in SIDES]
    return TURNS_ASKED_FOR if any(card and card.device != "cpu" for card in cards) else TURNS


def _is_disturbed(state: ViewState) -> bool:
    """Whether other programs use so much of the processor that no gain is claimed."""
    return state.other_cores is not None and state.other_cores > OTHER_SHARE * usable_cores()


def _is_mixed(state: ViewState) -> bool:
    """Whether the sides run different weights."""
    cards = (card for side in SIDES if (card := _card(state.sides[side])))
    return len({card.weights_sha256 for card in cards}) > 1


def _warnings(state: ViewState) -> list[str]:
    cards = [card for side in SIDES if (card := _card(state.sides[side]))]
    warnings = [UNTRAINED] if any(card.untrained for card in cards) else []
    if _is_disturbed(state):
        warnings.append(
            f"Other programs use {state.other_cores:.1f} of {usable_cores()} cores"
            + (f" ({state.other_programs})" if state.other_programs else "")
            + ". That slows one side more than the other: stop them to see the gain."
        )
    if _is_mixed(state):
        warnings.append("The two sides run different weights: their numbers cannot be compared.")
    for side in SIDES:
        warnings += [f"{side.capitalize()}: {notice}" for notice in state.sides[side].child.facts.get("notices", ())]
    return warnings


def _trouble(state: ViewState, side: Side) -> str:
    """Why this side's panel stands still, in plain words; "" when it moves."""
    child = state.sides[side].child
    if child.message:
        return child.message
    if state.sides[side].is_live:
        return ""
    return state.source.message or "waiting for frames"


def _side(state: ViewState, side: Side) -> dict[str, Any]:
    part = state.sides[side]
    numbers, card = part.numbers, _card(part)
    return {
        "variant": part.model_name,
        "how": _how(part, card),
        "trouble": _trouble(state, side),
        "state": part.child.state,
        "fps": format_significant(numbers.frames_per_s),
        "p50": format_significant(numbers.p50_ms),
        "p95": format_significant(numbers.p95_ms),
        "p95_unit": _p95_unit(numbers),
        "memory": "no GPU" if card and card.device == "cpu" else part.memory.text,
        "memory_note": part.memory.note if not (card and card.device == "cpu") else "the model runs on the CPU",
        "accuracy": _accuracy(card),
        "live_accuracy": _live_accuracy(part),
        "done": f"{numbers.frames_done:,}",
        **_drops(numbers, state.takes_turns),
        "numbers": {
            "frames_per_s": numbers.frames_per_s,
            "p50_ms": numbers.p50_ms,
            "p95_ms": numbers.p95_ms,
            "frames_done": numbers.frames_done,
            "frames_dropped": numbers.frames_dropped,
            "frames_passed": numbers.frames_passed,
            "frames_failed": numbers.frames_failed,
            "recall": numbers.recall,
            "precision": numbers.precision,
            "restarts": part.child.restarts,
            "pid": part.child.pid,
        },
    }


def _p95_unit(numbers: SideNumbers) -> str:
    """What stands behind the P95: its unit, or how many frames it still needs."""
    missing = numbers.p95_missing
    return "ms" if not missing else "in 1 frame" if missing == 1 else f"in {missing} frames"


def _drops(numbers: SideNumbers, takes_turns: bool) -> dict[str, str]:
    """The frames without boxes by cause, and the words for them; failed ones only once there are some."""
    counts = {"late" if takes_turns else "dropped": numbers.frames_dropped}
    if takes_turns:
        counts["other's turn"] = numbers.frames_passed
    if numbers.frames_failed:
        counts["failed"] = numbers.frames_failed
    return {
        "dropped": " / ".join(f"{count:,}" for count in counts.values()),
        "drops_label": " / ".join(("Done", *counts)),
    }


_BACKENDS = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT"}
_MEMORIES = {"inline": "gRPC", "system": "shared memory", "cuda": "GPU shared memory"}


def _how(part: SideState, card: ModelCard | None) -> str:
    transport: Transport | None = part.child.facts.get("transport")
    words = [_BACKENDS.get(card.backend, card.backend), card.precision.upper()] if card else []
    if transport:
        words.append(_MEMORIES[transport.memory])
    return " · ".join(words)


def _accuracy(card: ModelCard | None) -> dict[str, str]:
    """The accuracy gate's figure with its name and what it was measured on; empty texts when it was not measured."""
    figures = card.accuracy if card else {}
    on = f"on {figures.get('frames')} frames of {figures.get('dataset')}"
    if isinstance(figures.get("map50_95"), float):
        return {"label": "mAP50-95", "text": f"{figures['map50_95']:.3f}", "note": on}
    if isinstance(figures.get("matched_share"), float):
        return {"label": "Boxes as FP32", "text": f"{figures['matched_share']:.1%}", "note": on}
    return {"label": "", "text": "", "note": ""}


def _live_accuracy(part: SideState) -> str:
    numbers = part.numbers
    if numbers.recall is None:
        return ""
    precision = _DASH if numbers.precision is None else f"{numbers.precision:.0%}"
    return f"{numbers.recall:.0%} / {precision}"
