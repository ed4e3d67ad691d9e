"""Which layers are restored, and how disagreement is counted."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
import pytest

from photofinish.export.int8.search import disagreement_from_outputs, has_detections, search_layers

LAYERS = tuple(f"layer{index}" for index in range(10))
COSTS = {"layer3": 0.2, "layer7": 0.1, "layer1": 0.05}


def cost(chosen: AbstractSet[str]) -> float:
    return sum(COSTS.get(layer, 0.001) for layer in chosen)


def search(target: float, max_share: float = 0.5, block_size: int = 2) -> tuple[tuple[str, ...], float, int]:
    calls = []

    def measure(chosen: frozenset[str]) -> float:
        calls.append(chosen)
        return cost(chosen)

    steps: list[tuple[int, int]] = []
    found = search_layers(
        LAYERS,
        measure,
        cost,
        target=target,
        max_share=max_share,
        block_size=block_size,
        on_step=lambda done, count: steps.append((done, count)),
    )
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert all(done <= count for done, count in steps)
    return found.restored, found.disagreement, len(calls)


def test_restores_the_worst_layers_and_no_more() -> None:
    assert search(0.1)[0] == ("layer3", "layer7")
    assert search(0.2)[0] == ("layer3",)
    assert search(0.01)[0] == ("layer3", "layer7", "layer1")


@pytest.mark.parametrize("block_size", [1, 3, 10, 100])
def test_the_size_of_the_blocks_changes_nothing_that_matters(block_size: int) -> None:
    assert search(0.1, block_size=block_size)[0] == ("layer3", "layer7")
    assert search(0.01, block_size=block_size)[0] == ("layer3", "layer7", "layer1")


def test_blocks_that_agree_are_never_opened() -> None:
    layers = tuple(f"layer{index}" for index in range(100))
    alone: list[frozenset[str]] = []

    def measure_alone(chosen: frozenset[str]) -> float:
        alone.append(chosen)
        return cost(chosen)

    found = search_layers(layers, cost, measure_alone, target=0.12, on_step=lambda done, count: None)
    assert found.restored == ("layer3", "layer7", "layer1")
    assert len(alone) <= 17 + 12, "17 blocks of 6 and the layers of the worst two"


def test_restores_nothing_when_the_whole_is_good_enough() -> None:
    restored, disagreement, calls = search(0.5)
    assert restored == ()
    assert disagreement == pytest.approx(cost(set(LAYERS)))
    assert calls == 1


def test_stops_at_the_largest_share_when_the_target_is_out_of_reach() -> None:
    restored, disagreement, _ = search(0.0, max_share=0.3)
    assert restored == ("layer3", "layer7", "layer1")
    assert disagreement > 0


def rows(*boxes: tuple[float, float, float, float, float, float]) -> np.ndarray:
    table = np.zeros((1, 300, 6), dtype=np.float32)
    table[0, : len(boxes)] = np.reshape(boxes, (-1, 6))
    return table


CAR = (10.0, 10.0, 50.0, 50.0, 0.8, 2.0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (rows(CAR), 0.0),
        (rows(), 1.0),
        (rows((*CAR[:5], 3.0)), 1.0),
        (rows((*CAR[:4], 0.6, 2.0)), 0.2),
        (rows((10.0, 10.0, 50.0, 30.0, 0.8, 2.0)), 0.5),
        (rows(CAR, (200.0, 200.0, 250.0, 250.0, 0.8, 2.0)), 0.5),
        (rows((*CAR[:4], float("nan"), 2.0)), 1.0),
    ],
    ids=["same", "lost", "other class", "weaker", "half the box", "one too many", "not a number"],
)
def test_disagreement_of_rows(found: np.ndarray, expected: float) -> None:
    assert disagreement_from_outputs(found, rows(CAR)) == pytest.approx(expected, abs=1e-5)


def test_disagreement_of_scores_is_their_total_variation() -> None:
    reference = np.array([[0.5, 0.5, 0.0]], dtype=np.float32)
    assert disagreement_from_outputs(np.array([[0.5, 0.0, 0.5]], dtype=np.float32), reference) == pytest.approx(0.5)


def test_pictures_without_boxes_have_nothing_to_agree_with() -> None:
    assert disagreement_from_outputs(rows(), rows()) == 0.0
    assert not has_detections(rows())
    assert has_detections(rows(CAR))
    with pytest.raises(ValueError, match="one shape"):
        disagreement_from_outputs(rows(CAR), np.zeros((2, 300, 6), np.float32))
