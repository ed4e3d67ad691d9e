"""Other programs' share of the processor, on a made-up /proc."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from photofinish.client.ui.page.other_work import INTERVAL_S, OtherWork
from photofinish.client.ui.page.screen.document import screen_from_state
from photofinish.client.ui.words import PageWords
from tests.client.ui.page.screen.test_document import build_side, build_state

TICKS = os.sysconf("SC_CLK_TCK")
SERVER, STUB, STUB_CHILD, STRANGER = 500, 501, 502, 900


def write_proc(proc: Path, *, busy: int, used: dict[int, int]) -> None:
    """Ticks of the whole machine and of each process; 7,000 idle ticks change nothing."""
    parents = {os.getpid(): 1, SERVER: 1, STUB: SERVER, STUB_CHILD: STUB, STRANGER: 1}
    (proc / "stat").write_text(f"cpu {busy} 0 0 7000 300 0 0 0 0 0\ncpu0 1 2 3\n")
    for pid, ticks in used.items():
        folder = proc / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"{pid} (a (b) c) S {parents[pid]} {'0 ' * 9}{ticks} 0 0 0\n")
        arguments = ["/x/triton_python_backend_stub", "/m", "toy_0_0"] if pid == STUB else ["program"]
        (folder / "cmdline").write_text("\0".join(arguments))


def measured(proc: Path, *, names: tuple[str, ...] = ("toy",)) -> float | None:
    now = [0.0]
    work = OtherWork(lambda: names, proc=proc, clock=lambda: now[0])
    write_proc(proc, busy=1000, used={os.getpid(): 10, SERVER: 20, STUB: 30, STUB_CHILD: 5, STRANGER: 40})
    assert work.cores() is None
    now[0] = INTERVAL_S - 0.1
    assert work.cores() is None
    now[0] = 4.0
    used = {os.getpid(): 10 + TICKS, SERVER: 20 + TICKS, STUB: 30 + TICKS, STUB_CHILD: 5 + TICKS, STRANGER: 99}
    write_proc(proc, busy=1000 + 10 * TICKS, used=used)
    return work.cores()


def test_what_is_neither_the_view_nor_its_server_is_other_work(tmp_path: Path) -> None:
    assert measured(tmp_path) == pytest.approx((10 - 4) / 4.0)


def test_the_programs_are_named(tmp_path: Path) -> None:
    now = [0.0]
    work = OtherWork(lambda: ("toy",), proc=tmp_path, clock=lambda: now[0])
    used = {os.getpid(): 10, SERVER: 20, STUB: 30, STRANGER: 40}
    write_proc(tmp_path, busy=1000, used=used)
    assert (work.cores(), work.programs()) == (None, "")
    now[0] = 4.0
    write_proc(tmp_path, busy=1000 + 8 * TICKS, used={**used, STRANGER: 40 + 6 * TICKS})
    assert (work.cores(), work.programs()) == (2.0, "a (b) c 1.5")


def test_a_server_whose_processes_cannot_be_told_apart_gives_no_figure(tmp_path: Path) -> None:
    assert measured(tmp_path, names=("unknown",)) is None


def test_a_process_of_ours_that_ended_makes_no_other_program_busy(tmp_path: Path) -> None:
    now = [0.0]
    work = OtherWork(lambda: ("toy",), proc=tmp_path, clock=lambda: now[0])
    used = {os.getpid(): 10, SERVER: 20, STUB: 30, STUB_CHILD: 900 * TICKS}
    write_proc(tmp_path, busy=1000, used=used)
    assert work.cores() is None
    shutil.rmtree(tmp_path / str(STUB_CHILD))
    del used[STUB_CHILD]
    write_proc(tmp_path, busy=1000 + TICKS, used=used)
    now[0] = 4.0
    assert work.cores() is None
    write_proc(tmp_path, busy=1000 + 9 * TICKS, used=used)
    now[0] = 8.0
    assert work.cores() == pytest.approx(2.0)


def test_this_machine_can_be_read() -> None:
    assert OtherWork(lambda: ("toy",)).cores() is None


@pytest.mark.parametrize(
    ("cores", "takes_turns", "warns"),
    [(100.0, True, True), (0.0, True, False), (None, True, False), (100.0, False, True)],
)
def test_the_page_shows_no_gain_while_others_disturb_the_sides(
    cores: float | None, takes_turns: bool, warns: bool
) -> None:
    sides = {"baseline": build_side(10.0, 100.0), "optimised": build_side(30.0, 30.0)}
    for side in sides.values():
        side.child.facts["takes_turns"] = takes_turns
    screen = screen_from_state(build_state(sides=sides, other_cores=cores), PageWords("en"))
    found = [text for text in screen["warnings"] if "Other programs use" in text]
    assert bool(found) is warns
    assert screen["ratio"]["first"] == ("–" if warns else "3.0×")
    assert screen["ratio"]["first_words"] == ("no gain is shown" if warns else "more frames per second")
    assert (screen["ratio"]["is_won"], screen["ratio"]["is_void"]) == (not warns, warns)
    assert (screen["numbers"]["fps_ratio"] is None) is warns
    assert screen["sides"]["optimised"]["fps"] == "30.0", "what was measured stays, in grey"
