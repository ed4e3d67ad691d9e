from __future__ import annotations

from photofinish.export.kernels.search.compile import compile_jobs, compiled_layer
from photofinish.export.kernels.search.timing_child import TimingChild
from tests.export.kernels.cases import CASES


def test_a_question_that_ends_the_process_has_an_answer() -> None:
    _, layer, tile = CASES[2]
    with TimingChild() as child:
        # Without a GPU the process has nothing to time with; it says so and takes the next question.
        first, second = child.us(layer, tile), child.native_us(layer)
    assert isinstance(first, str | float)
    assert isinstance(second, str | float)


def test_a_layer_is_compiled_without_a_gpu() -> None:
    _, layer, tile = CASES[2]
    for capability in (80, 90, 120):
        assert len(compiled_layer(layer, tile, capability).asm["cubin"]) > 1000


def test_what_is_not_compiled_in_time_is_said() -> None:
    _, layer, tile = CASES[2]
    fates = compile_jobs([(layer, tile)], 80, workers=1, deadline_s=0.0, on_progress=lambda done, total: None)
    assert fates == {(layer, tile): "not in time"}
