"""How many cameras without a session the CPU keeps, as their frames come too late or in time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from photofinish.client.cameras.schedule.room import CALM_S, CpuRoom


class Cpu:
    """Decodes in time what so many cameras send; of the others all frames are lost. Sixteen want a session."""

    def __init__(self, carries: int, *, wanting: int = 16, always_lost: float = 0.0) -> None:
        self.carries, self.wanting, self.always_lost = carries, wanting, always_lost
        self.pixels_each = 100.0
        self.room = CpuRoom()
        self.now_s = 0.0
        self.sizes: list[tuple[float, int | None]] = []

    @property
    def spilled(self) -> int:
        return self.wanting if self.room.size is None else min(self.room.size, self.wanting)

    def run(self, seconds: float, *, poolable: bool = True) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 1.0
            spilled = self.spilled
            if self.room.note(
                500 * spilled,
                round(500 * max(spilled - self.carries, self.always_lost * spilled)),
                self.now_s,
                spilled=spilled,
                poolable=spilled if poolable else 0,
                pooled=self.wanting - spilled,
                pixels_per_s=lambda: self.wanting * self.pixels_each,
            ):
                self.sizes.append((self.now_s, self.room.size))


def test_while_the_cpu_keeps_up_it_has_room_for_all() -> None:
    cpu = Cpu(16)
    cpu.run(100)
    assert (cpu.room.size, cpu.sizes) == (None, [])


def test_a_cpu_that_is_behind_keeps_the_share_that_it_can_within_ten_seconds() -> None:
    cpu = Cpu(10)
    cpu.run(12)
    assert cpu.sizes == [(9.0, 10)]


def test_without_a_pool_nobody_is_turned_away() -> None:
    cpu = Cpu(10)
    cpu.run(60, poolable=False)
    assert cpu.sizes == []


def test_what_was_given_is_taken_back_and_tried_less_and_less_often() -> None:
    cpu = Cpu(10)
    cpu.run(1000)
    grown = [at for at, size in cpu.sizes if size == 11]
    waits = [round(later - before) for before, later in pairwise(grown)]
    assert waits == sorted(waits)
    assert waits[-1] > 4 * CALM_S
    assert {size for _, size in cpu.sizes} == {10, 11}


@pytest.mark.parametrize(("wanting", "pixels_each"), [(14, 100.0), (16, 80.0)])
def test_when_cameras_leave_or_send_less_it_is_tried_again_at_once(wanting: int, pixels_each: float) -> None:
    """It waited for up to eight minutes, however many had left."""
    cpu = Cpu(10)
    cpu.run(1000)
    began_s = cpu.now_s
    cpu.wanting, cpu.pixels_each, cpu.carries = wanting, pixels_each, 12
    cpu.run(2 * CALM_S)
    grown = [at for at, size in cpu.sizes if at > began_s and size == 11]
    assert grown
    assert grown[0] - began_s <= CALM_S + 2


def test_a_rate_that_varies_is_no_reason_to_try_again() -> None:
    cpu = Cpu(10)
    cpu.run(1000)
    tries = len(cpu.sizes)
    for pixels_each in (95.0, 105.0, 93.0, 100.0):
        cpu.pixels_each = pixels_each
        cpu.run(CALM_S)
    assert len(cpu.sizes) <= tries + 2


def test_when_nobody_wants_room_what_was_found_is_forgotten() -> None:
    cpu = Cpu(10)
    cpu.run(20)
    cpu.wanting = 0
    cpu.run(CALM_S - 1)
    assert cpu.room.size == 10, "a decode process that is started again is no reason"
    cpu.run(2)
    assert cpu.room.size is None
    cpu.wanting, cpu.carries = 16, 16
    cpu.run(20)
    assert cpu.spilled == 16


def test_a_cpu_that_loses_a_little_has_nothing_to_spare() -> None:
    cpu = Cpu(10, always_lost=0.03)
    cpu.run(300)
    assert [size for _, size in cpu.sizes] == [10]
    cpu.always_lost, cpu.carries = 0.005, 16
    cpu.run(20)
    assert cpu.room.size == 11


def test_when_the_machine_has_room_again_the_cpu_gets_its_cameras_back() -> None:
    cpu = Cpu(4)
    cpu.run(20)
    assert cpu.room.size == 4
    cpu.carries = 16
    cpu.run(20 * CALM_S)
    assert cpu.spilled == 16


def test_nobody_left_on_the_cpu_is_a_cpu_that_may_be_asked_again() -> None:
    cpu = Cpu(0, wanting=2)
    cpu.run(30)
    assert cpu.room.size == 0
    cpu.run(CALM_S)
    assert 1 in {size for _, size in cpu.sizes}
