"""Who has the machine: one measurement at a time, however many ask at once, and no small work beside it."""

from __future__ import annotations

import threading

import pytest

from photofinish.client.ui.page.machine_use import GivenUpError, MachineUse
from photofinish.client.ui.words import PageWords, WordedError, said
from tests.client.fake_triton import wait_for


def test_of_many_who_ask_at_once_one_measures() -> None:
    use, together, go_on = MachineUse(), threading.Barrier(20), threading.Event()
    inside: list[int] = []
    refused: list[str] = []

    def measure() -> None:
        together.wait(60)
        try:
            with use.alone():
                inside.append(1)
                go_on.wait(60)
        except WordedError as exc:
            refused.append(exc.word)

    threads = [threading.Thread(target=measure) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(refused) == 19, 60)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert inside == [1]
    assert set(refused) == {"page.reserved.measuring"}
    assert not use.is_reserved


def test_while_something_is_measured_small_works_are_refused_in_either_language() -> None:
    use = MachineUse()
    with use.alone(), pytest.raises(WordedError, match="A measurement or a race runs") as refused, use.beside():
        pass
    assert said(refused.value, PageWords("zh")) == "正在测量或竞速，期间这台机器不能有其他负载。请等它结束后再试。"
    with use.beside():
        pass


def test_a_measurement_waits_for_what_was_begun_before_it_and_lets_nothing_else_in() -> None:
    use, measured, go_on = MachineUse(), threading.Event(), threading.Event()

    def measure() -> None:
        with use.alone():
            measured.set()
            go_on.wait(60)

    with use.beside():
        measuring = threading.Thread(target=measure)
        measuring.start()
        wait_for(lambda: use.is_reserved, 60)
        with pytest.raises(WordedError), use.beside():
            pass
        assert not measured.is_set()
    assert measured.wait(60)
    go_on.set()
    measuring.join(60)


def test_what_may_be_ended_gives_way_after_a_while_and_nothing_else_does() -> None:
    use, begun, ended = MachineUse(wait_s=0.5), threading.Event(), threading.Event()

    def look() -> None:
        with use.beside(ended.set):
            begun.set()
            ended.wait(60)

    visitor = threading.Thread(target=look)
    visitor.start()
    assert begun.wait(60)
    with use.alone():
        assert ended.is_set()
        assert use.is_reserved
    visitor.join(60)
    with use.beside(), pytest.raises(WordedError, match="still being looked at"), use.alone():
        pass


def test_who_gives_up_waiting_is_let_go_at_once_and_nothing_has_to_give_way() -> None:
    use, stop, asked = MachineUse(wait_s=60), threading.Event(), threading.Event()
    let_go: list[type[Exception]] = []

    def measure() -> None:
        try:
            with use.alone(stop):
                pass
        except GivenUpError as exc:
            let_go.append(type(exc))

    with use.beside(asked.set):
        measuring = threading.Thread(target=measure)
        measuring.start()
        wait_for(lambda: use.is_reserved, 60)
        stop.set()
        measuring.join(60)
        assert let_go == [GivenUpError]
        assert not use.is_reserved
        assert not asked.is_set()
    with use.alone(stop):
        assert use.is_reserved, "nobody waits for a free machine"


def test_what_does_not_end_keeps_the_measurement_away_and_later_ones_may_come() -> None:
    use = MachineUse(wait_s=0.01)
    with use.beside(), pytest.raises(WordedError, match="still being looked at"), use.alone():
        pass
    with use.alone():
        assert use.is_reserved
