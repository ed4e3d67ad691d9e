"""Which of the programs that a user would run instead can run here, and on which weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.model_card import ModelCard
from photofinish.source_hash import sha256_from_file

if TYPE_CHECKING:
    from photofinish.perf.measure.rivals import Rivals
    from photofinish.perf.record.changes import NotRun

DEMO_WEIGHTS = Path(__file__).resolve().parents[2] / "export" / "weights"


def rivals_for(card: ModelCard, weights: str | None, *, keeps_memory: bool) -> Rivals:
    """What is known of the rivals of a baseline. weights: the file that it was made of, found by its name without."""
    from photofinish.perf.measure.rivals import PLAIN, ULTRALYTICS, Rivals
    from photofinish.perf.record.changes import NotRun

    if importlib.util.find_spec("ultralytics") is None:
        missing = {key: NotRun(key="no_ultralytics", rung=key) for key in (PLAIN, ULTRALYTICS)}
        return Rivals(why_not=missing, keeps_memory=keeps_memory)
    found, why_not = weights_of(card, weights)
    reasons = {} if why_not is None else {PLAIN: why_not}
    if card.task != "detect" or card.contract != "tensor":
        reasons[ULTRALYTICS] = NotRun(key="no_torch", values={"name": card.weights}, rung=ULTRALYTICS)
    return Rivals(weights=found, why_not=reasons, keeps_memory=keeps_memory)


def weights_of(card: ModelCard, given: str | None) -> tuple[str, NotRun | None]:
    """The weights that a variant was made of, as Ultralytics opens them; or "" and the reason."""
    from photofinish.perf.measure.rivals import PLAIN
    from photofinish.perf.record.changes import NotRun

    if Path(card.weights).suffix not in (".pt", ".yaml"):
        return "", NotRun(key="no_torch", values={"name": card.weights}, rung=PLAIN)
    if card.vocabulary:
        return "", NotRun(key="words", values={"name": card.weights}, rung=PLAIN)
    if given is None and card.weights.endswith(".yaml"):
        return card.weights, None
    for path in [Path(given).expanduser()] if given else places_of(card.weights):
        if path.is_file() and sha256_from_file(path) == card.weights_sha256:
            return str(path.resolve()), None
    key, name = ("other_weights", given) if given and Path(given).is_file() else ("weights", given or card.weights)
    return "", NotRun(key=key, values={"name": name, "model": card.variant}, rung=PLAIN)


def places_of(name: str) -> Iterator[Path]:
    """Where weights of that name may lie: here, among the demo's, among those fetched before."""
    from photofinish.machine.disk import user_cache_dir

    yield Path(name)
    yield Path("weights") / name
    yield DEMO_WEIGHTS / name
    yield user_cache_dir() / "weights" / name
