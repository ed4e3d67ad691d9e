"""A fake server whose two models differ in speed, for the split view's tests."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from tests.builders import build_card
from tests.client.fake_triton import Arrays, FakeModel

BASELINE = "toy_torch_fp32_tensor"
OPTIMISED = "toy_onnx_fp32"
BASELINE_S = 0.12
OPTIMISED_S = 0.025


def slow_answer(output: str, seconds: float) -> Callable[[Arrays], Arrays]:
    """One box in every picture, after `seconds`."""

    def answer(inputs: Arrays) -> Arrays:
        time.sleep(seconds)
        batch = next(iter(inputs.values())).shape[0]
        rows = np.zeros((batch, MAX_ROWS, ROW_WIDTH), np.float32)
        rows[:, 0] = (10, 20, 40, 44, 0.9, 0)
        return {output: rows}

    return answer


def toy_models(*, untrained: bool = False, device: str = "cpu") -> tuple[FakeModel, FakeModel]:
    """A baseline that takes BASELINE_S and an optimised variant that takes OPTIMISED_S per request."""
    baseline = FakeModel(
        name=BASELINE,
        card=build_card(
            variant=BASELINE, role="baseline", backend="pytorch", contract="tensor", untrained=untrained, device=device
        ),
        inputs=(("INPUT__0", "FP32", (3, 64, 64)),),
        outputs=(("OUTPUT__0", "FP32", (MAX_ROWS, ROW_WIDTH)),),
        infer=slow_answer("OUTPUT__0", BASELINE_S),
    )
    optimised = FakeModel(
        name=OPTIMISED,
        card=build_card(variant=OPTIMISED, untrained=untrained, device=device),
        infer=slow_answer("detections", OPTIMISED_S),
    )
    return baseline, optimised
