"""One side as the texts beneath its panel."""

from __future__ import annotations

from typing import Any

from photofinish.client.triton.transport import Transport
from photofinish.client.ui.page.machine import NO_GPU
from photofinish.client.ui.page.screen.figures import DASH, basis, memory, percentile, significant
from photofinish.client.ui.page.split_view import SideState, ViewState
from photofinish.client.ui.processes.board import SideNumbers
from photofinish.client.ui.processes.side import SIDES, Side
from photofinish.client.ui.words import PageWords, translated
from photofinish.model_card import ModelCard


def card_of(side: SideState) -> ModelCard | None:
    """What the side's model tells of itself, once it is known."""
    card = side.child.facts.get("card")
    return card if isinstance(card, ModelCard) else None


def cards_of(state: ViewState) -> list[ModelCard]:
    """The cards that are known, the baseline's first."""
    return [card for side in SIDES if (card := card_of(state.sides[side]))]


def side_texts(state: ViewState, side: Side, words: PageWords) -> dict[str, Any]:
    """Everything shown of one side, and the plain numbers it was made from."""
    part = state.sides[side]
    numbers, card = part.numbers, card_of(part)
    p95, p95_unit = percentile(numbers.p95_ms, numbers.p95_missing, words)
    p99, p99_unit = percentile(numbers.p99_ms, numbers.p99_missing, words)
    used, note = memory(NO_GPU if card and card.device == "cpu" else part.memory, words)
    return {
        "variant": _variant(part, card, words),
        "how": _how(part, card, words),
        "trouble": trouble(state, side, words),
        "state": part.child.state,
        "fps": significant(numbers.frames_per_s),
        "basis": basis(numbers, words),
        "p50": significant(numbers.p50_ms),
        "p95": p95,
        "p95_unit": p95_unit,
        "p99": p99,
        "p99_unit": p99_unit,
        "memory": used,
        "memory_note": note,
        "accuracy": _accuracy(card, words),
        "live_accuracy": _live_accuracy(numbers),
        "done": f"{numbers.frames_done:,}",
        **_drops(numbers, words),
        "numbers": {
            "frames_per_s": numbers.frames_per_s,
            "p50_ms": numbers.p50_ms,
            "p95_ms": numbers.p95_ms,
            "p99_ms": numbers.p99_ms,
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


def is_recovering(state: ViewState) -> bool:
    """Whether a side waits for the view's own server, which is being started again."""
    return state.is_server_recovering and any(part.child.message for part in state.sides.values())


def trouble(state: ViewState, side: Side, words: PageWords) -> str:
    """Why this side's panel stands still, in plain words; "" when it moves, or the whole picture says it."""
    child = state.sides[side].child
    if state.is_paused or state.source.is_final or is_recovering(state):
        return ""
    if child.message:
        return words(f"page.trouble.{child.state}", message=translated(child.message, words.language))
    if state.sides[side].is_live:
        return ""
    if state.source.message:
        message = translated(state.source.message, words.language)
        return words(f"page.trouble.{state.source.state}", message=message)
    return words("page.trouble.frames")


def _variant(part: SideState, card: ModelCard | None, words: PageWords) -> str:
    weights = [words("page.weights", weights=card.weights)] if card and card.weights else []
    return " · ".join((part.model_name, *weights))


def _how(part: SideState, card: ModelCard | None, words: PageWords) -> str:
    transport: Transport | None = part.child.facts.get("transport")
    said = []
    if card:
        backend = f"page.backend.{card.backend}"
        said = [words(backend) if words.has(backend) else card.backend, card.precision.upper()]
    if transport:
        said.append(words(f"page.transport.{transport.memory}"))
    return " · ".join(said)


def _drops(numbers: SideNumbers, words: PageWords) -> dict[str, str]:
    """The frames without boxes by cause, and the words for them; failed ones only once there are some.

    What a side did not see because it was the other's turn is nobody's loss: the metrics count it.
    """
    counts = {"late": numbers.frames_dropped}
    if numbers.frames_failed:
        counts["failed"] = numbers.frames_failed
    return {
        "dropped": " / ".join(f"{count:,}" for count in counts.values()),
        "drops_label": " / ".join(words(f"page.drops.{key}") for key in ("done", *counts)),
    }


def _accuracy(card: ModelCard | None, words: PageWords) -> dict[str, str]:
    """The accuracy gate's figure with its name and what it was measured on; empty texts when it was not measured."""
    figures = card.accuracy if card else {}
    on = words("page.accuracy_on", frames=figures.get("frames"), dataset=figures.get("dataset"))
    if isinstance(figures.get("map50_95"), float):
        return {"label": "mAP50-95", "text": f"{figures['map50_95']:.3f}", "note": on}
    if isinstance(figures.get("matched_share"), float):
        return {"label": words("page.boxes_as_fp32"), "text": f"{figures['matched_share']:.1%}", "note": on}
    return {"label": "", "text": "", "note": ""}


def _live_accuracy(numbers: SideNumbers) -> str:
    if numbers.recall is None:
        return ""
    precision = DASH if numbers.precision is None else f"{numbers.precision:.0%}"
    return f"{numbers.recall:.0%} / {precision}"
